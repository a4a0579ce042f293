// Package socket is not API: programs use package sdk, and it may change in any version.
//
// It owns the way to write to a network connection without ever waiting for it. It must not know what is written, or what to do when the
// network is full.
package socket
