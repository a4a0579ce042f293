package app

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/sdk"
)

// An event whose values were left out is told from one whose value is null, in every format.
func TestLeftOutValuesAreTold(t *testing.T) {
	for format, want := range map[render.Format]string{
		render.JSON: `{"kind":"UPDATED","key":"k","old":null,"new":null}` + "\n" + `{"kind":"UPDATED","key":"k","old":null,"new":null,"values_left_out":true}` + "\n",
		render.CSV:  "kind,key,old,new\nUPDATED,k,,\nUPDATED,k,(left out),(left out)\n",
	} {
		var b bytes.Buffer
		p := render.Printer{Out: &b, Format: format}
		out := p.Stream([]string{"kind", "key", "old", "new"}, nil, "new")
		row := []any{"UPDATED", "k", nil, nil}
		require.NoError(t, out.Write(row))
		require.NoError(t, out.WriteFlagged(row, "values_left_out", withoutValues(sdk.EventUpdated, row)))
		require.Equal(t, want, b.String())
	}
	require.Equal(t, []any{"ADDED", "k", nil, "(left out)"}, withoutValues(sdk.EventAdded, []any{"ADDED", "k", nil, nil}))
	require.Equal(t, []any{"REMOVED", "k", "(left out)", nil}, withoutValues(sdk.EventRemoved, []any{"REMOVED", "k", nil, nil}))
	require.Equal(t, []any{"UPDATED", "k", "(left out)", 7}, withoutValues(sdk.EventUpdated, []any{"UPDATED", "k", nil, 7}))
}
