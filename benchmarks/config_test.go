package benchmarks

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk"
)

func TestDefaultsAreValid(t *testing.T) {
	if err := (Config{}).WithDefaults().Validate(); err != nil {
		t.Errorf("Config: %v", err)
	}
	for name, o := range map[string]Options{"servers": {Config: Config{Servers: []string{"a:1"}}}, "members": {Members: 3}} {
		if err := o.WithDefaults().Validate(); err != nil {
			t.Errorf("Options with %s: %v", name, err)
		}
	}
}

func TestValidateNamesAllThatIsWrong(t *testing.T) {
	for _, c := range []struct {
		what string
		err  error
		want []string
	}{
		{"low", Config{Op: "put", Callers: []int{1, 0, -1}, Keys: -1, ValueSize: 7, Batch: -1, Duration: -1, WarmUp: -2, Operations: -3, Listeners: -1,
			PIDs: []int{0}}.WithDefaults().Validate(), []string{`operation "put": there are set, get, mixed`, "callers 0:", "callers -1:",
			"keys -1:", "batch -1:", "value size 7:", "duration -1ns:", "warm-up -2ns:", "operations -3:", "listeners -1:", "process 0:"}},
		{"high", Config{Callers: []int{100_001}, Keys: 100_000_001, ValueSize: 4 << 20}.WithDefaults().Validate(),
			[]string{"callers 100001:", "keys 100000001:", "value size 4194304:"}},
		{"load", Config{Op: OpGet, Mix: Mix{-1, 1_000_001}, Rate: -1, Zipf: 1}.WithDefaults().Validate(),
			[]string{"one of the two", "weight -1 ", "weight 1000001 ", "rate -1:", "zipf 1:"}},
		{"load, high", Config{Rate: 10_000_001, Zipf: math.NaN()}.WithDefaults().Validate(), []string{"rate 10000001:", "zipf NaN:"}},
		{"no cluster", Options{}.WithDefaults().Validate(), []string{"neither servers"}},
		{"no cluster, partitions", Options{Partitions: 24, Config: Config{Servers: []string{"a"}}}.WithDefaults().Validate(),
			[]string{"partitions are only for members that are started"}},
		{"two clusters", Options{Members: 1, Config: Config{Servers: []string{"a"}}}.WithDefaults().Validate(), []string{"one of the two"}},
		{"processes", Options{Members: 1, Config: Config{PIDs: []int{1}}}.WithDefaults().Validate(), []string{"are known"}},
		{"members", Options{Members: 17, Partitions: -1, Format: "xml", Config: Config{Keys: -1}}.WithDefaults().Validate(),
			[]string{"members 17:", "partitions -1:", `output format "xml"`, "keys -1:"}},
		{"negative", Options{Members: -1}.WithDefaults().Validate(), []string{"members -1:"}},
	} {
		if !errors.Is(c.err, sdk.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", c.what, c.err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(c.err.Error(), want) {
				t.Errorf("%s: %v, want %q in it", c.what, c.err, want)
			}
		}
		if lines := strings.Count(c.err.Error(), "\n") + 1; lines != len(c.want) {
			t.Errorf("%s: %d lines for %d mistakes:\n%v", c.what, lines, len(c.want), c.err)
		}
	}
}

func TestDefaultsLeaveWhatIsGiven(t *testing.T) {
	c := Config{Op: OpGet, Callers: []int{3}, Keys: 4, ValueSize: 9, Duration: time.Second, Map: "m"}.WithDefaults()
	if c.Op != OpGet || len(c.Callers) != 1 || c.Callers[0] != 3 || c.Keys != 4 || c.ValueSize != 9 || c.Duration != time.Second || c.Map != "m" {
		t.Errorf("%+v", c)
	}
}
