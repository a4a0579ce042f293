#!/usr/bin/env bash
# The shortest lease of etcd 3.5 is one and a half election timeouts of the server: who asks for one second may be granted eight.
#
# A lease asked for shorter is granted longer, without an error; the answer's TTL says how long. With the election timeout as it comes
# (1 s) one second becomes two. With 5 s, as for members on different continents, one, two and five seconds become
# eight, and 9 stays. A client that asks for one second, ignores the answer's TTL and takes a lock's holder for dead after a second or two is wrong
# by a setting of a server that it does not see.
#
# Needs Go and a module proxy; compiling etcd takes some minutes. Exits 0 while the behaviour is as described.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"

cat >go.mod <<'MOD'
module finding

go 1.24

require (
	go.etcd.io/etcd/client/v3 v3.5.21
	go.etcd.io/etcd/server/v3 v3.5.21
)
MOD

cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

func leases(electionMs uint, ask ...int64) error {
	dir, err := os.MkdirTemp(".", "data")
	if err != nil {
		return err
	}
	cfg := embed.NewConfig()
	cfg.Dir, cfg.LogLevel, cfg.ElectionMs = dir, "fatal", electionMs
	any := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	cfg.ListenClientUrls, cfg.ListenPeerUrls = []url.URL{any}, []url.URL{any}
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	defer server.Close()
	select {
	case <-server.Server.ReadyNotify():
	case <-time.After(time.Minute):
		return fmt.Errorf("etcd is not ready")
	}
	var client *clientv3.Client = v3client.New(server.Server)
	defer client.Close()
	for _, seconds := range ask {
		lease, err := client.Grant(context.Background(), seconds)
		if err != nil {
			return err
		}
		fmt.Printf("election timeout %d ms: asked for %d s, granted %d s\n", electionMs, seconds, lease.TTL)
	}
	return nil
}

func main() {
	for _, run := range []func() error{
		func() error { return leases(1000, 1, 2, 3) },
		func() error { return leases(5000, 1, 2, 5, 9) },
	} {
		if err := run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
GO

go mod tidy >/dev/null 2>&1
go run . >got
cat >want <<'TEXT'
election timeout 1000 ms: asked for 1 s, granted 2 s
election timeout 1000 ms: asked for 2 s, granted 2 s
election timeout 1000 ms: asked for 3 s, granted 3 s
election timeout 5000 ms: asked for 1 s, granted 8 s
election timeout 5000 ms: asked for 2 s, granted 8 s
election timeout 5000 ms: asked for 5 s, granted 8 s
election timeout 5000 ms: asked for 9 s, granted 9 s
TEXT
cat got
diff want got
