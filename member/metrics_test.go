package member

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/sdk"
)

// measured is one metric with its values, by its attributes but for the member's name.
type measured struct {
	kind, unit, text string
	attributes       []string
	values           map[string]float64
}

// collect returns what a reader is given.
func collect(t *testing.T, r *sdkmetric.ManualReader) map[string]*measured {
	t.Helper()
	var rm metricdata.ResourceMetrics
	require.NoError(t, r.Collect(testContext(t), &rm))
	all := make(map[string]*measured)
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			d := &measured{unit: m.Unit, text: m.Description, values: make(map[string]float64)}
			point := func(set attribute.Set, v float64) {
				var keys, pairs []string
				for _, kv := range set.ToSlice() {
					if kv.Key == "gridiron.member.name" {
						continue
					}
					keys, pairs = append(keys, string(kv.Key)), append(pairs, kv.Value.String())
				}
				for _, k := range keys {
					if !slices.Contains(d.attributes, k) {
						d.attributes = append(d.attributes, k)
					}
				}
				slices.Sort(d.attributes)
				d.values[strings.Join(pairs, " ")] = v
			}
			switch data := m.Data.(type) {
			case metricdata.Gauge[float64]:
				d.kind = "gauge"
				for _, p := range data.DataPoints {
					point(p.Attributes, p.Value)
				}
			case metricdata.Sum[float64]:
				d.kind = map[bool]string{true: "counter", false: "up-down counter"}[data.IsMonotonic]
				for _, p := range data.DataPoints {
					point(p.Attributes, p.Value)
				}
			case metricdata.Histogram[float64]:
				d.kind = "histogram"
				for _, p := range data.DataPoints {
					point(p.Attributes, float64(p.Count))
				}
			default:
				t.Errorf("%s is a %T", m.Name, m.Data)
			}
			all[m.Name] = d
		}
	}
	return all
}

// measuredMember returns a member that measures for a reader.
func measuredMember(t *testing.T) (*Member, *sdkmetric.ManualReader) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	reg := exec.NewRegistry()
	exec.RegisterTask(reg, "hold", func(ctx context.Context, _ exec.TaskContext, _ int) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
	return runningMember(t, Config{Settings: Settings{MeterProvider: provider, Registry: reg, MaxMemory: 1 << 30}}), reader
}

var metricRow = regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| ([a-z-]+(?: counter)?) \\| `([^`]+)` \\| ([^|]*) \\| ([^|]*) \\|$")

// docs/METRICS.md lists what a member measures, and nothing else.
func TestMetricsAreDocumented(t *testing.T) {
	m, reader := measuredMember(t)
	users, err := sdk.OpenMap[string, int](m.Client(), "users")
	require.NoError(t, err)
	require.NoError(t, users.Set(testContext(t), "a", 1))
	require.Error(t, users.Set(testContext(t), "a", 1, sdk.IfVersion(1)))
	_, err = sdk.Submit[int](testContext(t), m.Client().Executor("x"), "hold", 1) // while it runs, its executor is measured
	require.NoError(t, err)
	got := collect(t, reader)

	text, err := os.ReadFile(filepath.Join("..", "docs", "METRICS.md"))
	require.NoError(t, err)
	listed := make(map[string]bool)
	for _, row := range metricRow.FindAllStringSubmatch(string(text), -1) {
		name, kind, unit, attributes, meaning := row[1], row[2], row[3], row[4], row[5]
		listed[name] = true
		d := got[name]
		if d == nil {
			t.Errorf("docs/METRICS.md lists %s, which is not measured", name)
			continue
		}
		want := fmt.Sprintf("%s %s %s %s", d.kind, d.unit, strings.Join(d.attributes, ", "), d.text)
		if row := fmt.Sprintf("%s %s %s %s", kind, unit, strings.ReplaceAll(attributes, "`", ""), meaning); row != want {
			t.Errorf("docs/METRICS.md says of %s: %s\nit is: %s", name, row, want)
		}
	}
	for name, d := range got {
		if listed[name] {
			continue
		}
		var attributes []string
		for _, a := range d.attributes {
			attributes = append(attributes, "`"+a+"`")
		}
		t.Errorf("docs/METRICS.md lacks\n| `%s` | %s | `%s` | %s | %s |", name, d.kind, d.unit, strings.Join(attributes, ", "), d.text)
	}
}

func TestMetricsOfAMap(t *testing.T) {
	m, reader := measuredMember(t)
	ctx := testContext(t)
	require.NoError(t, m.Client().SetMapConfig(ctx, "quiet", sdk.MapConfig{Stats: new(false)}))
	for _, name := range []string{"users", "quiet"} {
		users, err := sdk.OpenMap[string, int](m.Client(), name)
		require.NoError(t, err)
		for i := range 10 {
			require.NoError(t, users.Set(ctx, fmt.Sprint(i), i))
		}
		for i := range 15 {
			_, _, err := users.Get(ctx, fmt.Sprint(i))
			require.NoError(t, err)
		}
		_, err = users.GetAll(ctx, "0", "1", "x")
		require.NoError(t, err)
		require.NoError(t, users.Set(ctx, "short", 1, sdk.WithTTL(time.Millisecond)))
		eventually(t, "the entry's end", func() bool {
			stats, err := m.Client().MapStats(ctx, name)
			return err == nil && stats.Entries == 10
		})
	}
	// A name that is no map's leaves nothing behind.
	nobody, err := sdk.OpenMap[string, int](m.Client(), "nobody")
	require.NoError(t, err)
	_, _, err = nobody.Get(ctx, "a")
	require.NoError(t, err)

	got := collect(t, reader)
	for name, want := range map[string]float64{
		"gridiron.map.entries users": 10, "gridiron.map.hits users": 12, "gridiron.map.misses users": 6,
		"gridiron.map.operation.duration users get": 15, "gridiron.map.operation.duration users set": 11,
		"gridiron.map.entries quiet": 10, "gridiron.map.locks users": 0, "gridiron.memory.limit ": 1 << 30, "gridiron.locks.waiting ": 0, "gridiron.connections client": 1, "gridiron.connections member": 0,
		"gridiron.cluster.members ready": 1, "gridiron.cluster.members dead": 0, "gridiron.member.partitions.owned ": 4, "gridiron.member.replicas ": 4,
		"gridiron.tasks.submitted accepted": 0, "gridiron.tasks.ended failed": 0, "db.client.operation.duration users grid get gridiron": 15,
		"gridiron.cluster.tolerates ": 0, "gridiron.cluster.partitions.unavailable ": 0,
	} {
		metric, attributes, _ := strings.Cut(name, " ")
		v, ok := got[metric].values[attributes]
		if !ok || v != want {
			t.Errorf("%s: %v, %t, want %v", name, v, ok, want)
		}
	}
	levels := []string{"gridiron.map.entries", "gridiron.map.size", "gridiron.map.locks", "gridiron.map.events.kept", "gridiron.map.events.kept.size"}
	for name, d := range got {
		if !strings.HasPrefix(name, "gridiron.map.") { // clients measure what they ask for
			continue
		}
		for attributes, v := range d.values {
			fields := strings.Fields(attributes)
			if slices.Contains(fields, "nobody") || slices.Contains(fields, "quiet") && !slices.Contains(levels, name) && v != 0 {
				t.Errorf("%s counts %s: %v", name, attributes, v)
			}
		}
	}
	if n := got["gridiron.member.owner.changes"].values[""]; n < 4 {
		t.Errorf("%v changes of owners", n)
	}
	if n := got["gridiron.map.size"].values["users"]; n < 100 || got["gridiron.memory.size"].values[""] < 2*n {
		t.Errorf("%v bytes of %v", n, got["gridiron.memory.size"].values)
	}
	m.Kill()
	for name, d := range collect(t, reader) {
		if d.kind != "histogram" && len(d.values) > 0 {
			t.Errorf("%s is observed after the member has ended", name)
		}
	}
}
