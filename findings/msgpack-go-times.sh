#!/usr/bin/env bash
# Of four MessagePack libraries for Go, two write a time.Time that the other two cannot read.
#
# vmihailenco/msgpack 5.4.1 and shamaton/msgpack 3.1.0 write the timestamp extension of the format's specification (type -1). With their
# handles as they come, ugorji/go/codec 1.3.2 and hashicorp/go-msgpack 2.1.5 write the same eight bytes of payload as a *string*
# (0xa8), which is not UTF-8. They read both forms; vmihailenco's takes the string for RFC 3339 text and refuses it, shamaton's
# refuses it too. So times travel in one direction only between programs that all say that they speak MessagePack.
# ugorji's writes the extension once WriteExt is set on its handle.
#
# Needs Go and a module proxy. Exits 0 while the behaviour is as described.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"

cat >go.mod <<'MOD'
module finding

go 1.24

require (
	github.com/hashicorp/go-msgpack/v2 v2.1.5
	github.com/shamaton/msgpack/v3 v3.1.0
	github.com/ugorji/go/codec v1.3.2
	github.com/vmihailenco/msgpack/v5 v5.4.1
)
MOD

cat >main.go <<'GO'
package main

import (
	"fmt"
	"time"

	hashicorp "github.com/hashicorp/go-msgpack/v2/codec"
	shamaton "github.com/shamaton/msgpack/v3"
	ugorji "github.com/ugorji/go/codec"
	vmihailenco "github.com/vmihailenco/msgpack/v5"
)

type library struct {
	name   string
	encode func(time.Time) ([]byte, error)
	decode func([]byte, *time.Time) error
}

func main() {
	withExt := new(ugorji.MsgpackHandle)
	withExt.WriteExt = true
	libraries := []library{
		{"vmihailenco", func(t time.Time) ([]byte, error) { return vmihailenco.Marshal(t) },
			func(b []byte, t *time.Time) error { return vmihailenco.Unmarshal(b, t) }},
		{"shamaton", func(t time.Time) ([]byte, error) { return shamaton.Marshal(t) },
			func(b []byte, t *time.Time) error { return shamaton.Unmarshal(b, t) }},
		{"ugorji", func(t time.Time) (b []byte, err error) {
			err = ugorji.NewEncoderBytes(&b, new(ugorji.MsgpackHandle)).Encode(t)
			return b, err
		}, func(b []byte, t *time.Time) error {
			return ugorji.NewDecoderBytes(b, new(ugorji.MsgpackHandle)).Decode(t)
		}},
		{"hashicorp", func(t time.Time) (b []byte, err error) {
			err = hashicorp.NewEncoderBytes(&b, new(hashicorp.MsgpackHandle)).Encode(t)
			return b, err
		}, func(b []byte, t *time.Time) error {
			return hashicorp.NewDecoderBytes(b, new(hashicorp.MsgpackHandle)).Decode(t)
		}},
	}
	moment := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for _, writer := range libraries {
		b, err := writer.encode(moment)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s writes %x, read by", writer.name, b)
		for _, reader := range libraries {
			var got time.Time
			if err := reader.decode(b, &got); err == nil && got.Equal(moment) {
				fmt.Print(" ", reader.name)
			}
		}
		fmt.Println()
	}
	var b []byte
	if err := ugorji.NewEncoderBytes(&b, withExt).Encode(moment); err != nil {
		panic(err)
	}
	fmt.Printf("ugorji with WriteExt writes %x\n", b)
}
GO

go mod tidy >/dev/null 2>&1
go run . >got
cat >want <<'TEXT'
vmihailenco writes d7ff00000018695735a5, read by vmihailenco shamaton ugorji hashicorp
shamaton writes d7ff00000018695735a5, read by vmihailenco shamaton ugorji hashicorp
ugorji writes a800000018695735a5, read by ugorji hashicorp
hashicorp writes a800000018695735a5, read by ugorji hashicorp
ugorji with WriteExt writes d7ff00000018695735a5
TEXT
cat got
diff want got
