// Package rpc is the calling side of a connection between members: the exchange of hellos, and calls with their answers.
//
// It owns one connection at a time. It must not know who the members are, where they are, or what an operation means.
package rpc
