// Package member is not API: programs use package grid, and it may change in any version.
//
// It is one running node of a cluster. It has ports, the connections on them, a place in the metadata group, and the partitions that it
// holds. It knows the other members, publishes events and runs tasks. This package joins the parts. The packages below it define what a map
// is, who owns a partition and how a cluster is bootstrapped.
package member
