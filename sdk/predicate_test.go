package sdk

import (
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/predicate"
)

func TestPredicates(t *testing.T) {
	type level int
	old := SQL("age > 30 and not name is null")
	for _, c := range []struct {
		p    Predicate
		want string
	}{
		{KeyGlob("user:*"), "__key GLOB 'user:*'"},
		{SQL("age>30"), "age > 30"},
		{Eq("level", level(3)), "level = 3"},
		{Ne("a", nil), "a <> NULL"},
		{Lt("a.b[0]", 2.5), "a.b[0] < 2.5"},
		{Le("first-name", "O'Hara"), `"first-name" <= 'O''Hara'`},
		{Gt("this", []byte{1}), "this > X'01'"},
		{Ge("at", time.Unix(0, 0)), "at >= TIMESTAMP '1970-01-01T00:00:00Z'"},
		{Between("a", 1, uint8(2)), "a BETWEEN 1 AND 2"},
		{In("tags[any]", "x", 1, true), "tags[any] IN ('x', 1, true)"},
		{Not(In("a", 1)), "a NOT IN (1)"},
		{Like("a", `50\%`), `a LIKE '50\%'`},
		{ILike("a", "x_"), "a ILIKE 'x_'"},
		{Not(IsNull("a")), "a IS NOT NULL"},
		{And(old, Or(KeyGlob("a*"), Eq("a", 1))), "age > 30 AND NOT name IS NULL AND (__key GLOB 'a*' OR a = 1)"},
		{And(Eq("a", 1)), "a = 1"},
		{Not(And(old, old)), "NOT (age > 30 AND NOT name IS NULL AND age > 30 AND NOT name IS NULL)"},
	} {
		n, err := c.p.node()
		noErr(t, err)
		want, err := predicate.Parse(c.want)
		noErr(t, err)
		if n.String() != want.String() {
			t.Errorf("%s, want %s", n, want)
		}
	}
}

// What is wrong with a predicate is told by the call that uses it, also from within others.
func TestWrongPredicates(t *testing.T) {
	m := opened[string, string](t, connected(t, fakegrid.New(t, 1, 3)), "m")
	for _, c := range []struct {
		p    Predicate
		want error
		hint string
	}{
		{SQL(""), ErrInvalid, "position 1: expected an attribute"},
		{SQL("age >> 3"), ErrInvalid, "position 6: expected a value"},
		{Not(SQL("age >")), ErrInvalid, "position 6: expected a value"},
		{And(), ErrInvalid, "AND of no predicates"},
		{Or(Eq("a", 1), nil), ErrInvalid, "nil predicate"},
		{Not(nil), ErrInvalid, "nil predicate"},
		{Eq("a..b", 1), ErrInvalid, "position 3: expected a name"},
		{Eq("a", func() {}), ErrInvalid, "cannot be encoded"},
		{In("a"), ErrInvalid, "without a value"},
		{Like("a", `\`), ErrInvalid, `single \`},
		{And(KeyGlob("[a")), ErrInvalid, "[a"},
		{Like("a", strings.Repeat("a", 1025)), ErrTooLarge, "the limit is 1024"},
		{SQL(strings.Repeat(" ", 65537)), ErrTooLarge, "the limit is 65536"},
		{Eq("a", strings.Repeat("a", 65536)), ErrTooLarge, "the limit is 65536"},
	} {
		_, err := m.RemoveAll(t.Context(), c.p)
		wantErr(t, err, c.want)
		if !strings.Contains(err.Error(), c.hint) || strings.Contains(err.Error(), "malformed") {
			t.Errorf("%v, want %q", err, c.hint)
		}
	}
}
