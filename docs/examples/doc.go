// Package examples shows what a distributed cache is used for, a program for each: its tests run in this process, on a member of their
// own, and need nothing else. It owns nothing.
package examples
