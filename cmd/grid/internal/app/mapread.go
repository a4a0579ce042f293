package app

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/codec"
)

func (p *Process) mapGet() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "get", usage: "print the value of a key", args: "MAP KEY", least: 2, most: 2,
		details: "In a pipe only the value is printed. A missing key exits with 3.",
		run: func(ctx context.Context, inv *invocation) error {
			key := inv.args[1]
			return inv.withMap(ctx, inv.args[0], func(ctx context.Context, m *sdk.Map[string, any]) error {
				v, found, err := m.Get(ctx, key)
				if err != nil {
					return err
				}
				if !found {
					return noSuchKey(inv)
				}
				return inv.print(render.Record(render.Field{Name: "key", Value: key}, render.Field{Name: "value", Value: v}).RawColumn("value").PlainColumn("value"))
			})
		},
	}, 1))
}

func (p *Process) mapGetAll() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "get-all", usage: "print the entries of several keys, without those that do not exist", args: "MAP KEY…", least: 2, most: -1,
		run: func(ctx context.Context, inv *invocation) error {
			keys := inv.args[1:]
			return inv.withMap(ctx, inv.args[0], func(ctx context.Context, m *sdk.Map[string, any]) error {
				found, err := m.GetAll(ctx, keys...)
				if err != nil {
					return err
				}

				var rows [][]any
				for _, key := range keys {
					if v, ok := found[key]; ok {
						rows = append(rows, []any{key, v})
						delete(found, key) // a key that is given twice is printed once
					}
				}

				return inv.print(entries(rows))
			})
		},
	}, -1))
}

// entries returns the document of rows of keys and values.
func entries(rows [][]any) render.Document {
	return render.Records([]string{"key", "value"}, rows).RawColumn("value")
}

func (p *Process) mapSize() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "size", usage: "print the number of entries", args: "MAP", least: 1, most: 1,
		run: func(ctx context.Context, inv *invocation) error {
			return inv.withMap(ctx, inv.args[0], func(ctx context.Context, m *sdk.Map[string, any]) error {
				n, err := m.Size(ctx)
				if err != nil {
					return err
				}
				return inv.print(render.Record(render.Field{Name: "size", Value: n}))
			})
		},
	}, 0))
}

func (p *Process) mapKeys() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "keys", usage: "print all keys, sorted", args: "MAP", least: 1, most: 1,
		details: "Keys that programs use and that are not strings are printed as JSON.",
		run: func(ctx context.Context, inv *invocation) error {
			return inv.withAnyMap(ctx, func(ctx context.Context, m *sdk.Map[any, any]) error {
				var keys []any
				for key, err := range m.Keys(ctx) {
					if err != nil {
						return err
					}
					keys = append(keys, key)
				}

				if err := sortByKey(keys, func(key any) any { return key }); err != nil {
					return err
				}
				return inv.print(render.Values("key", keys))
			})
		},
	}, 0))
}

func (p *Process) mapEntries() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "entries", usage: "print all entries, sorted by key", args: "MAP", least: 1, most: 1,
		details: "Keys that programs use and that are not strings are printed as JSON.",
		run: func(ctx context.Context, inv *invocation) error {
			return inv.withAnyMap(ctx, func(ctx context.Context, m *sdk.Map[any, any]) error {
				var rows [][]any
				for e, err := range m.Entries(ctx) {
					if err != nil {
						return err
					}
					rows = append(rows, []any{e.Key, e.Value})
				}

				if err := sortByKey(rows, func(row []any) any { return row[0] }); err != nil {
					return err
				}
				return inv.print(entries(rows))
			})
		},
	}, 0))
}

// withAnyMap is withMap for commands that show keys of every type.
func (inv *invocation) withAnyMap(ctx context.Context, f func(context.Context, *sdk.Map[any, any]) error) error {
	return inv.withClient(ctx, func(ctx context.Context, c *sdk.Client) error {
		m, err := sdk.OpenMap[any, any](c, inv.args[0], sdk.WithCodec(shownCodec{}))
		if err != nil {
			return err
		}
		return f(ctx, m)
	})
}

// sortByKey sorts a list by keys: strings first, in the order of their bytes, then the others in that of their encodings.
func sortByKey[T any](list []T, key func(T) any) error {
	type item struct {
		text, encoded string
		value         T
	}
	items := make([]item, len(list))
	for i, v := range list {
		items[i].value = v
		if s, ok := key(v).(string); ok {
			items[i].text = s
			continue
		}

		b, err := codec.Msgpack{}.Encode(nil, key(v))
		if err != nil {
			return err
		}
		items[i].encoded = string(b)
	}

	// Encodings are made once for each key, not once for each comparison.
	slices.SortFunc(items, func(a, b item) int {
		if c := strings.Compare(a.encoded, b.encoded); c != 0 { // strings have none
			return c
		}
		return strings.Compare(a.text, b.text)
	})

	for i := range items {
		list[i] = items[i].value
	}
	return nil
}

func (p *Process) mapEntryView() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "entry-view", usage: "print a key's entry with what the cluster knows about it", args: "MAP KEY", least: 2, most: 2,
		details: "A missing key exits with 3.",
		run: func(ctx context.Context, inv *invocation) error {
			return inv.withMap(ctx, inv.args[0], func(ctx context.Context, m *sdk.Map[string, any]) error {
				v, found, err := m.EntryView(ctx, inv.args[1])
				if err != nil {
					return err
				}
				if !found {
					return noSuchKey(inv)
				}
				return inv.print(render.Record(
					render.Field{Name: "key", Value: v.Key},
					render.Field{Name: "value", Value: v.Value},
					render.Field{Name: "version", Value: v.Version},
					render.Field{Name: "created", Value: instant(v.Created)},
					render.Field{Name: "updated", Value: instant(v.Updated)},
					render.Field{Name: "accessed", Value: instant(v.Accessed)},
					render.Field{Name: "expires", Value: instant(v.Expires)},
					render.Field{Name: "ttl_ms", Value: milliseconds(v.TTL)},
					render.Field{Name: "max_idle_ms", Value: milliseconds(v.MaxIdle)},
					render.Field{Name: "hits", Value: v.Hits},
					render.Field{Name: "cost", Value: v.Cost},
				).RawColumn("value"))
			})
		},
	}, 1))
}

// instant returns what is printed for a time: nothing for the zero time.
func instant(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

// milliseconds returns what is printed for a duration: nothing for none.
func milliseconds(d time.Duration) any {
	if d == 0 {
		return nil
	}
	return d.Milliseconds()
}
