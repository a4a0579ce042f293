// Package member is not API: programs use package grid, and it may change in any version.
//
// It is one running node of a cluster: its ports, the connections on them, its place in the metadata group, the
// partitions that it holds, what it knows of the others, the events that it publishes and the tasks that it runs. It joins
// the parts; what a map is, who owns a partition and how a cluster is bootstrapped is defined in the packages below it.
package member
