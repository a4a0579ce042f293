package app

import (
	"bufio"
	"context"
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/sdk"
)

// Values of a program's own codec fail no command: they are shown as their bytes.
func TestForeignValues(t *testing.T) {
	c, server := oneMember(t, 2)
	m, err := sdk.OpenMap[string, string](c, "f", sdk.WithCodec(jsonText{}))
	require.NoError(t, err)
	stored := base64.StdEncoding.EncodeToString([]byte(`"x"`))
	set := func() { require.NoError(t, m.Set(t.Context(), "a", "x")) }
	set()

	for _, read := range [][]string{
		{"map", "get", "f", "a", "-o=json"}, {"map", "get-all", "f", "a", "-o=json"}, {"map", "entries", "f", "-o=json"},
		{"map", "entry-view", "f", "a", "-o=json"},
	} {
		require.Contains(t, run(t, append(read, server)...), `"value":"`+stored+`"`, read)
	}
	require.Equal(t, `{"key":"a","remaining_ms":null}`+"\n", run(t, "map", "ttl", "f", "a", "-o=json", server))

	require.Equal(t, `{"existed":true,"previous":"`+stored+`"}`+"\n", run(t, "map", "put", "f", "a", "1", "-o=json", server))
	set()
	require.Equal(t, `{"existed":true,"previous":"`+stored+`"}`+"\n", run(t, "map", "replace", "f", "a", "1", "-o=json", server))
	set()
	require.Equal(t, `{"existed":true,"previous":"`+stored+`"}`+"\n", run(t, "map", "remove", "f", "a", "-o=json", server))
}

// Events with such values are events like all others.
func TestWatchForeignValues(t *testing.T) {
	c, server := oneMember(t, 1)
	m, err := sdk.OpenMap[string, string](c, "f", sdk.WithCodec(jsonText{}))
	require.NoError(t, err)
	tokens := make(chan sdk.ResumeToken, 1)
	sub, err := m.AddEntryListener(t.Context(), sdk.EntryListener[string, string]{Removed: func(e sdk.Event[string, string]) { tokens <- e.Token }})
	require.NoError(t, err)
	require.NoError(t, m.Set(t.Context(), "before", "x"))
	_, err = m.Delete(t.Context(), "before")
	require.NoError(t, err)
	from := <-tokens
	require.NoError(t, sub.Close())
	require.NoError(t, m.Set(t.Context(), "a", "x"))
	require.NoError(t, m.Clear(t.Context()))

	ctx, interrupt := context.WithCancel(t.Context())
	in, out := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p := &Process{Args: []string{"map", "watch", "f", "-o=json", "--from=" + string(from), server}, In: strings.NewReader(""), Out: out,
			Err: io.Discard, LookupEnv: func(string) (string, bool) { return "", false }}
		p.Run(ctx)
		_ = out.Close()
	}()
	lines := bufio.NewScanner(in)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), `{"kind":"ADDED","key":"a","old":null,"new":"`+base64.StdEncoding.EncodeToString([]byte(`"x"`))+`"`)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), `{"kind":"CLEARED","key":null,"old":null,"new":null`)
	interrupt()
	<-ended
}
