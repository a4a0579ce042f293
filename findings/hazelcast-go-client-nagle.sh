#!/usr/bin/env bash
# Hazelcast's Go client turns Nagle's algorithm on, and calls that write more than a little wait for delayed acknowledgements.
#
# Go opens its TCP connections with TCP_NODELAY, as nearly every client of a store does. This client takes the option off again. It writes
# what callers ask for through a buffer of 16 KB, so a putAll of some values of 10 KB leaves it in many pieces. The last piece of what is
# written then waits until the member has acknowledged what came before, and the member's kernel delays that by up to 40 ms: one putAll of
# 104 values, 1 MB in all, takes 0.6 s and uses hardly any CPU time. With the option set on the very same socket it takes a thirtieth of that.
# A program cannot set it by the client's configuration. Benchmarks by this client show the wait as if it were the members'.
#
# Seen with github.com/hazelcast/hazelcast-go-client v1.4.2, Hazelcast 5.7.0 and Linux 6.18, over loopback.
#
# Needs Go, a JDK 17 or later, Maven, and Linux. Exits 0 while the behaviour is as described.
set -euo pipefail
dir=$(mktemp -d)
member=
trap '[ -z "$member" ] || kill "$member" 2>/dev/null; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
mvn -q -B dependency:copy -Dartifact=com.hazelcast:hazelcast:5.7.0 -DoutputDirectory="$dir/lib"

cat >go.mod <<'MOD'
module finding

go 1.25

require github.com/hazelcast/hazelcast-go-client v1.4.2
MOD

cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/hazelcast/hazelcast-go-client/logger"
	"github.com/hazelcast/hazelcast-go-client/types"
)

// sockets returns the file descriptors of this process that are connected to a port.
func sockets(port int) (fds []int) {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	for _, f := range open {
		fd, _ := strconv.Atoi(f.Name())
		peer, err := syscall.Getpeername(fd)
		if err != nil {
			continue
		}
		if a, ok := peer.(*syscall.SockaddrInet4); ok && a.Port == port {
			fds = append(fds, fd)
		}
	}
	return fds
}

func main() {
	port, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cfg := hazelcast.NewConfig()
	cfg.Cluster.Name = "dev"
	cfg.Cluster.Network.SetAddresses("127.0.0.1:" + os.Args[1])
	cfg.Logger.Level = logger.OffLevel
	client, err := hazelcast.StartNewClientWithConfig(ctx, cfg)
	if err != nil {
		panic(err)
	}
	m, err := client.GetMap(ctx, "pages")
	if err != nil {
		panic(err)
	}

	entries := make([]types.Entry, 104)
	for i := range entries {
		entries[i] = types.NewEntry(fmt.Sprint("page-", i), make([]byte, 10_000))
	}
	// The median of some calls.
	putAll := func() time.Duration {
		var took []time.Duration
		for range 8 {
			begin := time.Now()
			if err := m.PutAll(ctx, entries...); err != nil {
				panic(err)
			}
			took = append(took, time.Since(begin))
		}
		fmt.Println("  putAll:", took)
		slices.Sort(took)
		return took[len(took)/2]
	}

	fds := sockets(port)
	if len(fds) == 0 {
		panic("no socket of the client is connected")
	}
	for _, fd := range fds {
		v, err := syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY)
		fmt.Println("TCP_NODELAY of the client's socket:", v, err)
		if v != 0 {
			os.Exit(1)
		}
	}
	putAll()
	with := putAll()
	for _, fd := range fds {
		if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1); err != nil {
			panic(err)
		}
	}
	putAll()
	without := putAll()
	fmt.Println("as the client has it:", with, "· with TCP_NODELAY set:", without)
	if with < 2*without {
		os.Exit(1)
	}
}
GO

export GOFLAGS=-mod=mod
go build -o finding . 2>build.log || { cat build.log; exit 1; }

# An unlikely port; the member takes no other.
port=25791
cat >member.yaml <<YAML
hazelcast:
  properties:
    hazelcast.phone.home.enabled: false
  network:
    port: {port: $port, auto-increment: false}
    interfaces: {enabled: true, interfaces: [127.0.0.1]}
    join: {auto-detection: {enabled: false}}
YAML
java -Xmx512m -Dhazelcast.config=member.yaml -cp lib/hazelcast-5.7.0.jar com.hazelcast.core.server.HazelcastMemberStarter >member.log 2>&1 &
member=$!
for _ in $(seq 600); do
	if grep -q 'is STARTED' member.log; then break; fi
	kill -0 "$member" 2>/dev/null || break
	sleep 0.2
done
grep -q 'is STARTED' member.log || { tail -5 member.log; exit 1; }
./finding $port
