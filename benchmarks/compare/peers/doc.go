// Package peers starts clusters of Gridiron and of the systems it is compared with, and connects to each with a client for Go.
//
// It owns their processes, ports, files and clients. It knows how each system is told to be a cluster on the loopback interface that keeps
// three copies in memory, or as near to that as it comes. It does not know what is measured.
//
// Programs are taken from the machine. A system whose program is not there is reported as ErrAbsent, and nothing is installed for it. The
// one exception is the jar of Hazelcast, which Maven resolves by its coordinates.
package peers
