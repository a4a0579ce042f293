package examples

import (
	"context"
	"fmt"
	"log"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/sdk"
)

// User is what the examples keep.
type User struct {
	Name  string `msgpack:"name"`
	Email string `msgpack:"email"`
}

// start returns a member in this process and its client.
func start(ctx context.Context) (*grid.Member, *sdk.Client) {
	m, err := grid.Start(ctx, grid.Config{Partitions: 16})
	if err != nil {
		log.Fatal(err)
	}
	return m, m.Client()
}

func users(c *sdk.Client) *sdk.Map[string, User] {
	m, err := sdk.OpenMap[string, User](c, "users")
	if err != nil {
		log.Fatal(err)
	}
	return m
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// A client keeps what it has read, and hears of changes. It sees its own writes at once.
func Example_nearCache() {
	ctx := context.Background()
	m, c := start(ctx)
	defer m.Close(ctx)
	prices, err := sdk.OpenMap[string, int](c, "prices", sdk.WithNearCache(sdk.NearCacheConfig{MaxEntries: 1000, TTL: time.Minute}))
	check(err)

	check(prices.Set(ctx, "apple", 3))
	// The first reads ask the owner: the near cache begins in the background.
	for prices.NearCacheStats().Hits == 0 {
		_, _, err := prices.Get(ctx, "apple")
		check(err)
	}

	check(prices.Set(ctx, "apple", 4))
	price, found, err := prices.Get(ctx, "apple")
	check(err)
	fmt.Println(price, found)
	// Output: 4 true
}

// A value is stored on one connection and read on any other, on whichever member it lives.
func Example_setAndGet() {
	ctx := context.Background()
	m, c := start(ctx)
	defer m.Close(ctx)
	cache, err := sdk.OpenMap[string, string](c, "my-cache")
	check(err)

	check(cache.Set(ctx, "key1", "value1"))
	previous, existed, err := cache.Put(ctx, "key1", "value2")
	check(err)
	fmt.Println("previous:", previous, existed)
	value, found, err := cache.Get(ctx, "key1")
	check(err)
	fmt.Println("retrieved:", value, found)
	_, found, err = cache.Get(ctx, "key2")
	check(err)
	fmt.Println("a key that is not there:", found)
	// Output:
	// previous: value1 true
	// retrieved: value2 true
	// a key that is not there: false
}

// Many entries go in few requests, one for each partition, all at the same time.
func Example_bulk() {
	ctx := context.Background()
	m, c := start(ctx)
	defer m.Close(ctx)
	products, err := sdk.OpenMap[string, int](c, "products")
	check(err)

	check(products.SetAll(ctx, map[string]int{"product:1": 999, "product:2": 29, "product:3": 79}))
	found, err := products.GetAll(ctx, "product:1", "product:2", "product:9")
	check(err)
	fmt.Println(found)
	n, err := products.DeleteAll(ctx, "product:1", "product:9")
	check(err)
	fmt.Println("deleted:", n)
	// Output:
	// map[product:1:999 product:2:29]
	// deleted: 1
}

// An entry with a time to live is gone when that is over, at once and for everybody.
func Example_ttl() {
	ctx := context.Background()
	m, c := start(ctx)
	defer m.Close(ctx)
	sessions, err := sdk.OpenMap[string, string](c, "sessions")
	check(err)

	check(sessions.Set(ctx, "temp", "value", sdk.WithTTL(30*time.Second)))
	view, _, err := sessions.EntryView(ctx, "temp")
	check(err)
	left := time.Until(view.Expires)
	fmt.Println("lives on for a while:", left > 20*time.Second && left < 40*time.Second)
	there, err := sessions.SetTTL(ctx, "temp", time.Millisecond)
	check(err)
	fmt.Println("was still there:", there)
	for there { // a millisecond or so
		there, err = sessions.ContainsKey(ctx, "temp")
		check(err)
	}
	fmt.Println("is gone")
	// Output:
	// lives on for a while: true
	// was still there: true
	// is gone
}

// All keys of one kind go at once, found at their owners by their names. Not one of them travels.
func Example_deleteByPattern() {
	ctx := context.Background()
	m, c := start(ctx)
	defer m.Close(ctx)
	cache, err := sdk.OpenMap[string, int](c, "cache")
	check(err)

	check(cache.SetAll(ctx, map[string]int{"user:1001": 1, "user:1002": 2, "order:1": 3}))
	n, err := cache.RemoveAll(ctx, sdk.KeyGlob("user:*"))
	check(err)
	fmt.Println("removed:", n)
	for key, err := range cache.Keys(ctx) {
		check(err)
		fmt.Println("left:", key)
	}
	// Output:
	// removed: 2
	// left: order:1
}

// Cache is a helper as many programs have one: it keeps values for an hour unless told otherwise, and a cache that fails is a miss.
type Cache[V any] struct{ m *sdk.Map[string, V] }

func (c Cache[V]) Get(ctx context.Context, key string) (v V, ok bool) {
	v, ok, err := c.m.Get(ctx, key)
	if err != nil {
		log.Printf("cache get: %v", err)
	}
	return v, ok && err == nil
}

func (c Cache[V]) Set(ctx context.Context, key string, v V, ttl time.Duration) bool {
	if ttl == 0 {
		ttl = time.Hour
	}
	if err := c.m.Set(ctx, key, v, sdk.WithTTL(ttl)); err != nil {
		log.Printf("cache set: %v", err)
		return false
	}
	return true
}

func (c Cache[V]) Delete(ctx context.Context, key string) bool {
	existed, err := c.m.Delete(ctx, key)
	if err != nil {
		log.Printf("cache delete: %v", err)
	}
	return existed
}

func (c Cache[V]) Exists(ctx context.Context, key string) bool {
	there, err := c.m.ContainsKey(ctx, key)
	if err != nil {
		log.Printf("cache exists: %v", err)
	}
	return there
}

// A helper of a few lines gives a program the cache that it wants.
func Example_cacheHelper() {
	ctx := context.Background()
	m, c := start(ctx)
	defer m.Close(ctx)
	cache := Cache[User]{users(c)}

	fmt.Println("stored:", cache.Set(ctx, "user:1001", User{"Alice", "alice@example.org"}, 30*time.Minute))
	u, ok := cache.Get(ctx, "user:1001")
	fmt.Println(u.Name, u.Email, ok)
	fmt.Println("exists:", cache.Exists(ctx, "user:1001"), cache.Exists(ctx, "user:1002"))
	fmt.Println("deleted:", cache.Delete(ctx, "user:1001"), cache.Delete(ctx, "user:1001"))
	// Output:
	// stored: true
	// Alice alice@example.org true
	// exists: true false
	// deleted: true false
}

// database stands for what a cache is in front of.
type database struct {
	rows  map[string]User
	reads atomic.Int32
}

func (d *database) user(_ context.Context, id string) (User, error) {
	d.reads.Add(1)
	return d.rows[id], nil
}

// Cache-aside: who misses reads from the database and stores what it read. However many miss at once, in however many processes,
// the database is asked once.
func Example_cacheAside() {
	ctx := context.Background()
	m, c := start(ctx)
	defer m.Close(ctx)
	db := &database{rows: map[string]User{"1": {Name: "Alice"}}}
	cache := users(c)

	names := make(chan string)
	for range 10 {
		go func() {
			u, err := cache.GetOrLoad(ctx, "1", db.user, sdk.WithTTL(time.Hour))
			check(err)
			names <- u.Name
		}()
	}
	for range 10 {
		if name := <-names; name != "Alice" {
			fmt.Println("unexpected:", name)
		}
	}
	fmt.Println("reads of the database:", db.reads.Load())
	// Output:
	// reads of the database: 1
}

// Write-through: the database first, then the cache. Should the second fail, the entry is deleted: what is not in the cache is read
// again.
func Example_writeThrough() {
	ctx := context.Background()
	m, c := start(ctx)
	defer m.Close(ctx)
	db := &database{rows: map[string]User{}}
	cache := users(c)

	update := func(id string, u User) error {
		db.rows[id] = u
		if err := cache.Set(ctx, id, u, sdk.WithTTL(time.Hour)); err != nil {
			_, err = cache.Delete(ctx, id)
			return err
		}
		return nil
	}
	check(update("1", User{Name: "Alice"}))
	check(update("1", User{Name: "Alice B."}))
	u, _, err := cache.Get(ctx, "1")
	check(err)
	fmt.Println("cache:", u.Name)
	fmt.Println("database:", db.rows["1"].Name)
	// Output:
	// cache: Alice B.
	// database: Alice B.
}

// Write-behind: writes go to the cache, and a listener carries them to the database. It sees each write once and a key's in their
// order; with the token of the last one that it wrote it can be started again where it was.
func Example_writeBehind() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	m, c := start(ctx)
	defer m.Close(context.WithoutCancel(ctx))
	cache := users(c)

	written := make(chan string, 10) // the database
	write := func(e sdk.Event[string, User]) { written <- e.Key + " is " + e.New.Name }
	s, err := cache.AddEntryListener(ctx, sdk.EntryListener[string, User]{Added: write, Updated: write})
	check(err)
	defer s.Close()

	check(cache.Set(ctx, "1", User{Name: "Alice"}))
	check(cache.Set(ctx, "1", User{Name: "Alice B."}))
	fmt.Println(<-written)
	fmt.Println(<-written)
	// Output:
	// 1 is Alice
	// 1 is Alice B.
}

// A task runs on all members, each of which answers for itself.
func Example_executeOnAllMembers() {
	ctx := context.Background()
	registry := exec.NewRegistry()
	exec.RegisterTask(registry, "hello", func(_ context.Context, tc exec.TaskContext, name string) (string, error) {
		return "hello " + name + ", this is " + tc.Member().Name, nil
	})
	m, err := grid.Start(ctx, grid.Config{Name: "m1", Partitions: 16, Registry: registry})
	check(err)
	defer m.Close(ctx)

	ex := m.Client().Executor("default")
	check(ex.ExecuteOnAllMembers(ctx, "hello", "world")) // for its effect alone
	f, err := sdk.SubmitToAllMembers[string](ctx, ex, "hello", "world")
	check(err)
	var answers []string
	for r, err := range f.All(ctx) {
		check(err)
		check(r.Err)
		answers = append(answers, r.Value)
	}
	slices.Sort(answers)
	fmt.Println(answers)
	// Output:
	// [hello world, this is m1]
}
