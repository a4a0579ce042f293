package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/sdk"
)

// tenantKey chooses its partition by its tenant.
type tenantKey struct{ Tenant, Name string }

func (k tenantKey) PartitionKey() any { return k.Tenant }

// jsonText is a codec whose values are no MessagePack.
type jsonText struct{}

func (jsonText) Name() string                             { return "json text" }
func (jsonText) Encode(dst []byte, v any) ([]byte, error) { return fmt.Appendf(dst, "%q", v), nil }
func (jsonText) Decode(b []byte, v any) error             { *v.(*string) = string(b); return nil }

// oneMember returns a client of a cluster of one member, and the flag that leads commands to it.
func oneMember(t *testing.T, partitions int) (c *sdk.Client, server string) {
	t.Helper()
	m, err := grid.Start(t.Context(), grid.Config{Partitions: partitions, NoHTTP: true})
	require.NoError(t, err)
	t.Cleanup(m.Kill)
	c, err = sdk.Connect(t.Context(), []string{m.Addr()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c, "--server=" + m.Addr()
}

// stored is a whole map as members hold it.
func stored(t require.TestingT, ctx context.Context, c *sdk.Client, name string) map[storedKey]sdk.EntryView[storedKey, storedValue] {
	m, err := openStored(c, name)
	require.NoError(t, err)
	all := make(map[storedKey]sdk.EntryView[storedKey, storedValue])
	for k, err := range m.Keys(ctx) {
		require.NoError(t, err)
		v, found, err := m.EntryView(ctx, k)
		require.NoError(t, err)
		require.True(t, found, "%+v", k)
		all[k] = v
	}
	return all
}

// requireCopy requires that two maps hold the same.
func requireCopy(t require.TestingT, ctx context.Context, c *sdk.Client, from, to string) {
	want, got := stored(t, ctx, c, from), stored(t, ctx, c, to)
	require.Len(t, got, len(want))
	for k, w := range want {
		g, ok := got[k]
		require.True(t, ok, "the key %+v is not there", k)
		require.Equal(t, w.Value, g.Value, "the value of %+v", k)
		require.Equal(t, w.MaxIdle, g.MaxIdle, "the max-idle of %+v", k)
		require.Equal(t, w.TTL == 0, g.TTL == 0, "the TTL of %+v", k)
		require.InDelta(t, w.RemainingTTL, g.RemainingTTL, float64(30*time.Minute), "the TTL of %+v", k)
	}
}

// Whatever a map holds comes back as it is, with all that it carries: no two keys are one, nothing is another type.
func TestCopies(t *testing.T) {
	const hour = time.Hour
	c, server := oneMember(t, 8)
	dir := t.TempDir()
	n := 0
	for _, format := range []string{"json", "csv"} {
		t.Run(format, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				n++
				from, to, file := fmt.Sprintf("from-%d", n), fmt.Sprintf("to-%d", n), filepath.Join(dir, fmt.Sprint(n))
				m, err := sdk.OpenMap[any, any](c, from)
				require.NoError(rt, err)
				for _, k := range rapid.SliceOfN(keys(), 1, 20).Draw(rt, "keys") {
					e := expiries().Draw(rt, "expiry")
					require.NoError(rt, m.Set(t.Context(), k, values(2).Draw(rt, "value"), e.options()...))
				}
				texts, err := sdk.OpenMap[string, string](c, from, sdk.WithCodec(jsonText{}))
				require.NoError(rt, err)
				require.NoError(rt, texts.Set(t.Context(), "other codec", drawnStrings().Draw(rt, "text")))
				tenants, err := sdk.OpenMap[tenantKey, int](c, from)
				require.NoError(rt, err)
				for i := range 3 {
					require.NoError(rt, tenants.Set(t.Context(), tenantKey{drawnStrings().Draw(rt, "tenant"), fmt.Sprint(i)}, i))
				}
				// Of a TTL and a max-idle, each is kept.
				require.NoError(rt, m.Set(t.Context(), "idle", 1, sdk.WithTTL(5*hour), sdk.WithMaxIdle(2*hour)))
				_, err = m.SetTTL(t.Context(), "idle", 3*hour)
				require.NoError(rt, err)

				run(t, "map", "export", from, file, "--format="+format, server)
				run(t, "map", "import", to, file, "--format="+format, server)
				requireCopy(rt, t.Context(), c, from, to)

				require.NoError(rt, os.Remove(file))
				for _, name := range []string{from, to} {
					all, err := openStored(c, name)
					require.NoError(rt, err)
					require.NoError(rt, all.Clear(t.Context()))
				}
			})
		})
	}
}

// A near cache hears of what an import stores, together and one by one.
func TestNearCacheHearsOfImports(t *testing.T) {
	c, server := oneMember(t, 4)
	m, err := sdk.OpenMap[string, int](c, "near", sdk.WithNearCache(sdk.NearCacheConfig{}))
	require.NoError(t, err)

	keys := []string{"alone"}
	file := filepath.Join(t.TempDir(), "entries")
	lines := `{"key":"alone","value":2,"ttl_ms":3600000}` + "\n"
	for i := range bulkFrom {
		keys = append(keys, fmt.Sprint("k", i))
		lines += fmt.Sprintf(`{"key":"k%d","value":2}`+"\n", i)
	}
	require.NoError(t, os.WriteFile(file, []byte(lines), 0o600))

	hit := func(key string, want int) {
		require.Eventually(t, func() bool {
			before := m.NearCacheStats().Hits
			v, _, err := m.Get(t.Context(), key)
			return err == nil && v == want && m.NearCacheStats().Hits > before
		}, time.Minute, time.Millisecond, "no hit of %s with %d", key, want)
	}
	for _, key := range keys {
		require.NoError(t, m.Set(t.Context(), key, 1))
		hit(key, 1)
	}
	run(t, "map", "import", "near", file, server)
	for _, key := range keys {
		hit(key, 2)
	}
}

// What was exported is read by a program as it was stored.
func TestProgramsReadCopies(t *testing.T) {
	c, server := oneMember(t, 4)
	file := filepath.Join(t.TempDir(), "out")
	type note struct {
		At  time.Time
		Raw []byte
	}
	at := time.Unix(1_700_000_000, 123_456_789).UTC()
	want := map[[2]byte]note{{1, 2}: {at, []byte{1, 255}}, {1, 3}: {at, nil}}
	for _, format := range []string{"json", "csv"} {
		from, err := sdk.OpenMap[[2]byte, note](c, "from")
		require.NoError(t, err)
		require.NoError(t, from.SetAll(t.Context(), want))
		run(t, "map", "export", "from", file, "--format="+format, server)
		run(t, "map", "import", format, file, "--format="+format, server)
		to, err := sdk.OpenMap[[2]byte, note](c, format)
		require.NoError(t, err)
		got, err := to.GetAll(t.Context(), [2]byte{1, 2}, [2]byte{1, 3})
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// An entry that lives for ever does so in a map with defaults too; a line that says nothing leaves it to the map.
func TestImportedExpiry(t *testing.T) {
	c, server := oneMember(t, 4)
	run(t, "map", "config", "to", "--ttl=1h", "--max-idle=2h", server)
	file := filepath.Join(t.TempDir(), "in")
	for format, text := range map[string]string{
		"json": `{"key":"ever","value":1,"ttl_ms":null}` + "\n" + `{"key":"max-idle","value":1,"max_idle_ms":10800000}`,
		"csv":  "key,value,ttl_ms,max_idle_ms\never,1,,\nmax-idle,1,,10800000\n",
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		run(t, "map", "import", "to", file, "--format="+format, server)
		m, err := sdk.OpenMap[string, int](c, "to")
		require.NoError(t, err)
		v, found, err := m.EntryView(t.Context(), "ever")
		require.NoError(t, err)
		require.True(t, found)
		require.Zero(t, v.TTL)
		require.Zero(t, v.MaxIdle)
		v, _, err = m.EntryView(t.Context(), "max-idle")
		require.NoError(t, err)
		require.Zero(t, v.TTL)
		require.Equal(t, 3*time.Hour, v.MaxIdle)

		// Likewise many, which are stored together.
		var many strings.Builder
		many.WriteString(map[string]string{"csv": "key,value,ttl_ms\n"}[format])
		for i := range 100 {
			fmt.Fprintf(&many, map[string]string{"json": `{"key":"%d","value":1,"ttl_ms":null}`, "csv": "%d,1,"}[format]+"\n", i)
		}
		require.NoError(t, os.WriteFile(file, []byte(many.String()), 0o600))
		run(t, "map", "import", "to", file, "--format="+format, server)
		for i := range 100 {
			v, found, err := m.EntryView(t.Context(), fmt.Sprint(i))
			require.NoError(t, err)
			require.True(t, found)
			require.Equal(t, []time.Duration{0, 0}, []time.Duration{v.TTL, v.MaxIdle})
		}

		short := map[string]string{"json": `{"key":"map","value":1}`, "csv": "value,key\n1,map"}[format]
		require.NoError(t, os.WriteFile(file, []byte(short), 0o600))
		run(t, "map", "import", "to", file, "--format="+format, server)
		v, _, err = m.EntryView(t.Context(), "map")
		require.NoError(t, err)
		require.Equal(t, []time.Duration{time.Hour, 2 * time.Hour}, []time.Duration{v.TTL, v.MaxIdle})
		require.NoError(t, m.Clear(t.Context()))
	}
}

// A key whose partition its program chose goes where that program finds it, or is refused by its line.
func TestPlacedKeysElsewhere(t *testing.T) {
	c, server := oneMember(t, 8)
	m, err := sdk.OpenMap[tenantKey, int](c, "m")
	require.NoError(t, err)
	for i := range 20 {
		require.NoError(t, m.Set(t.Context(), tenantKey{"t", fmt.Sprint(i)}, i))
	}
	file := filepath.Join(t.TempDir(), "out")
	run(t, "map", "export", "m", file, server)
	run(t, "map", "import", "copy", file, server)
	copied, err := sdk.OpenMap[tenantKey, int](c, "copy")
	require.NoError(t, err)
	for i := range 20 {
		v, found, err := copied.Get(t.Context(), tenantKey{"t", fmt.Sprint(i)})
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, i, v)
	}

	_, elsewhere := oneMember(t, 5)
	errs := fails(t, exitOther, "map", "import", "m", file, elsewhere)
	require.Regexp(t, `line \d+: the key's program chose partition \d of 8, and this cluster has 5`, errs)
}

// fails returns what a command says that must exit with a code, in one line.
func fails(t *testing.T, code int, args ...string) string {
	t.Helper()
	var errs bytes.Buffer
	p := &Process{Args: args, In: strings.NewReader(""), Out: io.Discard, Err: &errs, LookupEnv: func(string) (string, bool) { return "", false }}
	require.Equal(t, code, p.Run(t.Context()), "grid %v: %s", args, &errs)
	return errs.String()
}

// A line that is too large, or that a member does not take, is the file's fault and not the command line's.
func TestImportExitCodes(t *testing.T) {
	_, server := oneMember(t, 2)
	file := filepath.Join(t.TempDir(), "in")
	good := `{"key":"a","value":1}` + "\n"
	for name, line := range map[string]string{
		"a value beyond the hard limit":     `{"key":"b","value":"` + strings.Repeat("v", 4<<20) + `"}`,
		"a value beyond the member's limit": `{"key":"b","value":"` + strings.Repeat("v", 1<<20) + `"}`,
		"a key":                             `{"key":"` + strings.Repeat("k", 64<<10) + `","value":1}`,
		"a number":                          `{"key":"b","value":10769150350006150715113082367}`,
		"a line":                            strings.Repeat(" ", maxLine+1) + `{"key":"b","value":1}`,
		"bytes":                             "{\"key\":\"b\xff\",\"value\":1}",
	} {
		require.NoError(t, os.WriteFile(file, []byte(good+line+"\n"), 0o600))
		require.Contains(t, fails(t, exitOther, "map", "import", "m", file, server), "line 2: ", name)
		require.JSONEq(t, `["a"]`, run(t, "map", "keys", "m", "-o=json", server), name)
	}
	require.NoError(t, os.WriteFile(file, []byte("\xef\xbb\xbf"+good), 0o600))
	require.Equal(t, "grid: note: the file begins with a byte order mark, which is passed over\n", fails(t, exitOK, "map", "import", "m", file, server))
	fails(t, exitOther, "map", "import", "m", filepath.Dir(file), server)
}

// An entry that no file can hold is named and left out, and all others are written.
func TestLeftOut(t *testing.T) {
	var errs bytes.Buffer
	left := leftOuts{inv: &invocation{Process: &Process{Err: &errs}}}
	require.NoError(t, left.failure())
	_, bad := keyOf([]byte{0xc1})
	require.Error(t, bad)
	for _, format := range []string{"json", "csv"} {
		w, err := writerOf(format, io.Discard)
		require.NoError(t, err)
		r := recordOf(t, "k", 1)
		r.ttl = time.Microsecond // which no file says
		err = w.write(r)
		require.ErrorIs(t, err, errNotTheSame)
		left.add(r.key, err)
	}
	require.Contains(t, errs.String(), `the entry "k" is left out: it would not be read as what it is`)
	require.ErrorContains(t, left.failure(), "left out: 2")
	require.Equal(t, exitOther, exitCode(left.failure()))
}
