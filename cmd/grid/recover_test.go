package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/grid/gridtest"
)

// Of two members the one that votes on the metadata is killed. The other recovers them when it is told to, and not before.
func TestClusterRecover(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 1, gridtest.WithPartitions(3))
	cl.Add()
	cl.WaitSafe()
	_, env := scratch(t)
	grid := func(args ...string) (code int, out []string, text string) {
		p := start(t, append(env, "GRID_SERVER="+cl.Addr(1)), append([]string{"cluster"}, args...)...)
		code, out = p.end()
		return code, out, p.stderr.String()
	}
	for _, c := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"recover"}, 2, "--lost is missing"},
		{[]string{"recover", "--lost", "m0", "--server", cl.Addr(0) + "," + cl.Addr(1)}, 2, "want the one member"},
		{[]string{"recover", "--lost", "nobody"}, 3, `no member "nobody"`},
		{[]string{"recover", "--lost", "m0"}, 4, "has a leader"},
		{[]string{"recover", "--lost", "m0", "--cluster-name", "other"}, 2, "other"},
	} {
		code, _, text := grid(c.args...)
		require.Equal(t, c.code, code, text)
		require.Contains(t, text, c.text)
	}
	cl.Kill(0)
	code, _, text := grid("remove", "m0", "--force", "--timeout", "4s")
	require.Equal(t, 5, code, text)
	require.Contains(t, text, "grid cluster recover", "what is to be done instead")
	code, _, text = grid("recover", "--lost", "m0", "--timeout", "3s")
	require.Equal(t, 6, code, text)
	require.Contains(t, text, "run it again")
	code, out, text := grid("recover", "--lost", "m0", "-o", "json")
	require.Equal(t, 0, code, text)
	var doc map[string]any
	require.NoError(t, json.Unmarshal([]byte(strings.Join(out, "\n")), &doc))
	require.Equal(t, map[string]any{"generation": 1.0}, doc)
	code, _, text = grid("safe")
	require.Equal(t, 4, code, text) // with one member, of course
}
