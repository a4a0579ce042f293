#!/usr/bin/env bash
# In Olric 0.7.4 Expire with two copies empties the value: Get returns an empty one, and no error.
#
# With ReplicaCount 2 on three members, a key is put, given an hour to live by Expire, and read at once. Get finds the key and returns an
# empty value, for each of 100 keys. Put with the option EX keeps the value. So a session whose life is prolonged by Expire is emptied.
#
# Needs Go and a module proxy. Exits 0 while the behaviour is as described.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"

cat >go.mod <<'MOD'
module finding

go 1.24

require github.com/olric-data/olric v0.7.4
MOD

cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	"github.com/olric-data/olric"
	"github.com/olric-data/olric/config"
)

const copies = 2

func port() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start starts a member that joins others, and returns once it is ready.
func start(seeds []string) (*olric.Olric, string, error) {
	c := config.New("local")
	c.LogOutput, c.Logger = io.Discard, log.New(io.Discard, "", 0)
	c.BindAddr, c.BindPort, c.ReplicaCount, c.Peers = "127.0.0.1", port(), copies, seeds
	m := c.MemberlistConfig
	m.BindAddr, m.BindPort = "127.0.0.1", port()
	m.AdvertiseAddr, m.AdvertisePort = m.BindAddr, m.BindPort
	started := make(chan struct{})
	c.Started = func() { close(started) }
	db, err := olric.New(c)
	if err != nil {
		return nil, "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- db.Start() }()
	select {
	case <-started:
		return db, fmt.Sprintf("127.0.0.1:%d", m.BindPort), nil
	case err := <-ended:
		return nil, "", err
	case <-time.After(time.Minute):
		return nil, "", fmt.Errorf("a member does not start")
	}
}

// ready reports whether all partitions have all owners.
func ready(ctx context.Context, e *olric.EmbeddedClient) bool {
	members, err := e.Members(ctx)
	if err != nil || len(members) != 3 {
		return false
	}
	table, err := e.RoutingTable(ctx)
	if err != nil {
		return false
	}
	for _, r := range table {
		if len(r.PrimaryOwners) != 1 || len(r.ReplicaOwners) != copies-1 {
			return false
		}
	}
	return true
}

// mapOfThree returns a map in a cluster of three members.
func mapOfThree(ctx context.Context) (olric.DMap, error) {
	var first *olric.Olric
	var seeds []string
	for i := 0; i < 3; i++ {
		db, addr, err := start(seeds)
		if err != nil {
			return nil, err
		}
		if seeds = append(seeds, addr); first == nil {
			first = db
		}
	}
	e := first.NewEmbeddedClient()
	for deadline := time.Now().Add(time.Minute); !ready(ctx, e); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("the cluster is not ready")
		}
	}
	return e.NewDMap("m")
}

func run() error {
	ctx := context.Background()
	m, err := mapOfThree(ctx)
	if err != nil {
		return err
	}
	if err := m.Put(ctx, "other", "value", olric.EX(time.Hour)); err != nil {
		return err
	}
	answer, err := m.Get(ctx, "other")
	if err != nil {
		return err
	}
	other, err := answer.String()
	if err != nil {
		return err
	}
	fmt.Printf("after Put with an hour to live: %q\n", other)

	whole, empty := 0, 0
	for i := 0; i < 100; i++ {
		key := fmt.Sprintf("k%d", i)
		if err := m.Put(ctx, key, "value"); err != nil {
			return err
		}
		if err := m.Expire(ctx, key, time.Hour); err != nil {
			return err
		}
		answer, err := m.Get(ctx, key)
		if err != nil {
			return err
		}
		v, err := answer.String()
		if err != nil {
			return err
		}
		switch v {
		case "value":
			whole++
		case "":
			empty++
		}
	}
	fmt.Printf("of 100 values after Expire by an hour, %d are whole and %d are empty\n", whole, empty)
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
GO

go mod tidy >/dev/null 2>&1
go run . >got
cat >want <<'TEXT'
after Put with an hour to live: "value"
of 100 values after Expire by an hour, 0 are whole and 100 are empty
TEXT
cat got
diff want got
