#!/usr/bin/env bash
# Go's MessagePack libraries disagree about an integer that does not fit the field it is decoded into.
#
# vmihailenco/msgpack 5.4.1 and shamaton/msgpack 3.1.0 keep the low bits and return no error: 300 becomes 44 in a uint8, 70000
# becomes 4464 in an int16, -1 becomes the largest uint64. ugorji/go/codec 1.3.2 and hashicorp/go-msgpack 2.1.5 report an overflow.
# For floats vmihailenco's is strict: a float64 is refused for a float32 and for an int.
#
# So a program whose peers widen a field from 8 to 16 bits goes on with wrong numbers under two of the four.
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

	hashicorp "github.com/hashicorp/go-msgpack/v2/codec"
	shamaton "github.com/shamaton/msgpack/v3"
	ugorji "github.com/ugorji/go/codec"
	vmihailenco "github.com/vmihailenco/msgpack/v5"
)

func decode[T any](wide any) {
	b, err := vmihailenco.Marshal(wide)
	if err != nil {
		panic(err)
	}
	var zero T
	for _, lib := range []struct {
		name   string
		decode func(*T) error
	}{
		{"vmihailenco", func(v *T) error { return vmihailenco.Unmarshal(b, v) }},
		{"shamaton", func(v *T) error { return shamaton.Unmarshal(b, v) }},
		{"ugorji", func(v *T) error { return ugorji.NewDecoderBytes(b, new(ugorji.MsgpackHandle)).Decode(v) }},
		{"hashicorp", func(v *T) error { return hashicorp.NewDecoderBytes(b, new(hashicorp.MsgpackHandle)).Decode(v) }},
	} {
		got := zero
		if err := lib.decode(&got); err != nil {
			fmt.Printf("%v into %T: %s refuses\n", wide, zero, lib.name)
		} else {
			fmt.Printf("%v into %T: %s says %v\n", wide, zero, lib.name, got)
		}
	}
}

func main() {
	decode[uint8](300)
	decode[int16](70000)
	decode[uint64](-1)
	var narrow float32
	fmt.Println("a float64 into a float32, vmihailenco refuses:", vmihailenco.Unmarshal([]byte{0xcb, 0x40, 0x09, 0x21, 0xfb, 0x54, 0x44, 0x2d, 0x18}, &narrow) != nil)
}
GO

go mod tidy >/dev/null 2>&1
go run . >got
cat >want <<'TEXT'
300 into uint8: vmihailenco says 44
300 into uint8: shamaton says 44
300 into uint8: ugorji refuses
300 into uint8: hashicorp refuses
70000 into int16: vmihailenco says 4464
70000 into int16: shamaton says 4464
70000 into int16: ugorji refuses
70000 into int16: hashicorp refuses
-1 into uint64: vmihailenco says 18446744073709551615
-1 into uint64: shamaton says 18446744073709551615
-1 into uint64: ugorji refuses
-1 into uint64: hashicorp refuses
a float64 into a float32, vmihailenco refuses: true
TEXT
cat got
diff want got
