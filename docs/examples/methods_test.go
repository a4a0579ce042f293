package examples

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gridiron-io/gridiron/sdk"
)

// Two ways to change a value only if nobody else has: by what it was, and by its version.
func Example_compareAndSet() {
	ctx := context.Background()
	m, c := start(ctx)
	defer m.Close(ctx)
	stock, err := sdk.OpenMap[string, int](c, "stock")
	check(err)

	_, existed, err := stock.PutIfAbsent(ctx, "apples", 10)
	check(err)
	fmt.Println("was there before:", existed)
	done, err := stock.ReplaceIfSame(ctx, "apples", 10, 9)
	check(err)
	fmt.Println("one sold:", done)
	done, err = stock.ReplaceIfSame(ctx, "apples", 10, 8)
	check(err)
	fmt.Println("sold by somebody who had not heard of that:", done)

	view, _, err := stock.EntryView(ctx, "apples")
	check(err)
	check(stock.Set(ctx, "apples", 7, sdk.IfVersion(view.Version)))
	err = stock.Set(ctx, "apples", 6, sdk.IfVersion(view.Version))
	fmt.Println("the same version again:", errors.Is(err, sdk.ErrConflict))
	// Output:
	// was there before: false
	// one sold: true
	// sold by somebody who had not heard of that: false
	// the same version again: true
}

// An iteration goes over all partitions, page by page. It sees every entry that is there throughout exactly once.
func Example_iterate() {
	ctx := context.Background()
	m, c := start(ctx)
	defer m.Close(ctx)
	words, err := sdk.OpenMap[string, int](c, "words")
	check(err)
	check(words.SetAll(ctx, map[string]int{"one": 1, "two": 2, "three": 3}))

	sum := 0
	for e, err := range words.Entries(ctx) {
		check(err)
		sum += e.Value
	}
	n, err := words.Size(ctx)
	check(err)
	fmt.Println(n, "entries with the sum", sum)

	check(words.Clear(ctx))
	empty, err := words.IsEmpty(ctx)
	check(err)
	fmt.Println("empty:", empty)
	// Output:
	// 3 entries with the sum 6
	// empty: true
}

// What is removed is returned; what is not there changes nothing.
func Example_remove() {
	ctx := context.Background()
	m, c := start(ctx)
	defer m.Close(ctx)
	words, err := sdk.OpenMap[string, int](c, "words")
	check(err)
	check(words.Set(ctx, "one", 1))

	removed, err := words.RemoveIfSame(ctx, "one", 2)
	check(err)
	fmt.Println("with another value:", removed)
	previous, existed, err := words.Remove(ctx, "one")
	check(err)
	fmt.Println("removed:", previous, existed)
	_, existed, err = words.Replace(ctx, "one", 3)
	check(err)
	fmt.Println("replaced:", existed)
	// Output:
	// with another value: false
	// removed: 1 true
	// replaced: false
}

// A listener hears of the changes of each key in their order. It returns from AddEntryListener once it hears of everything to come.
func Example_listen() {
	ctx := context.Background()
	m, c := start(ctx)
	defer m.Close(ctx)
	words, err := sdk.OpenMap[string, int](c, "words")
	check(err)

	var heard sync.WaitGroup
	heard.Add(3)
	print := func(e sdk.Event[string, int]) {
		fmt.Println(e.Kind, e.Key, e.Old, e.New)
		heard.Done()
	}
	sub, err := words.AddEntryListener(ctx, sdk.EntryListener[string, int]{Added: print, Updated: print, Removed: print}, sdk.OnKey("one"))
	check(err)
	check(words.Set(ctx, "one", 1))
	check(words.Set(ctx, "two", 2)) // not its key
	check(words.Set(ctx, "one", 11))
	_, err = words.Delete(ctx, "one")
	check(err)
	heard.Wait()
	check(sub.Close())
	// Output:
	// ADDED one 0 1
	// UPDATED one 1 11
	// REMOVED one 11 0
}
