package member

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/metadata"
	"github.com/gridiron-io/gridiron/member/porttest"
	"github.com/gridiron-io/gridiron/sdk"
)

// pair starts a member, and a second one that joins it and has no vote on the metadata. configure may change each Config.
func pair(t *testing.T, configure func(i int, cfg *Config)) (ms []*Member, configs []Config) {
	t.Helper()
	addrs := porttest.Addrs(t, 2)
	for i := range 2 {
		cfg := Config{Settings: Settings{Name: fmt.Sprintf("m%d", i), Listen: addrs[i], Partitions: 6, NoHTTP: true, DataDir: t.TempDir()}}
		if i > 0 {
			cfg.Join = addrs[:1]
		}
		if configure != nil {
			configure(i, &cfg)
		}
		configs = append(configs, cfg)
		ms = append(ms, again(t, cfg))
	}
	statusOf1(t, ms[1], "two replicas of everything", func(st sdk.ClusterStatus) bool { return st.Safe && st.Members == 2 })
	return ms, configs
}

// again starts a member that is killed when the test ends.
func again(t *testing.T, cfg Config) *Member {
	t.Helper()
	m, err := Start(testContext(t), cfg)
	if err != nil {
		t.Fatalf("start %s: %v", cfg.Name, err)
	}
	t.Cleanup(m.Kill)
	return m
}

// statusOf1 waits until a member's client sees what is wanted.
func statusOf1(t *testing.T, m *Member, what string, want func(st sdk.ClusterStatus) bool) {
	t.Helper()
	eventually(t, what, func() bool {
		st, err := m.Client().Cluster(testContext(t))
		return err == nil && want(st)
	})
}

func openWords(t *testing.T, m *Member) *sdk.Map[int, int] {
	t.Helper()
	words, err := sdk.OpenMap[int, int](m.Client(), "words")
	if err != nil {
		t.Fatal(err)
	}
	return words
}

const recoverWords = 50

func fill(t *testing.T, m *Member) {
	t.Helper()
	words := openWords(t, m)
	for i := range recoverWords {
		if err := words.Set(testContext(t), i, i); err != nil {
			t.Fatal(err)
		}
	}
}

func verify(t *testing.T, m *Member) {
	t.Helper()
	words := openWords(t, m)
	for i := range recoverWords {
		if v, ok, err := words.Get(testContext(t), i); v != i || !ok || err != nil {
			t.Fatalf("%d is %d, %t, %v", i, v, ok, err)
		}
	}
}

// recovered asks the member at an address until the metadata have been recovered.
func recovered(t *testing.T, addr string, lost ...string) {
	t.Helper()
	for {
		r, err := sdk.RecoverCluster(testContext(t), addr, lost)
		if err != nil {
			t.Fatalf("recover: %v", err)
		}
		if r.Done {
			if r.Generation != 1 {
				t.Errorf("generation %d", r.Generation)
			}
			return
		}
		if r.Wait <= 0 || r.Wait > metadata.LeaderlessFor+time.Millisecond {
			t.Errorf("wait for %v", r.Wait)
		}
	}
}

// notRecovered asks a member that must refuse, with a reason.
func notRecovered(t *testing.T, addr string, want error, text string, lost ...string) {
	t.Helper()
	if _, err := sdk.RecoverCluster(testContext(t), addr, lost); !errors.Is(err, want) || !strings.Contains(fmt.Sprint(err), text) {
		t.Errorf("without %v: %v, want %v with %q", lost, err, want, text)
	}
}

// Of two members the one that votes on the metadata is lost for good. The other goes on with the data, recovers the metadata when it
// is told to, and then everything is as ever: others join, and start again. The lost one comes back as a new member.
func TestRecover(t *testing.T) {
	t.Parallel() // most of it is waiting
	ms, configs := pair(t, nil)
	fill(t, ms[1])
	notRecovered(t, ms[1].Addr(), sdk.ErrConflict, "has a leader", "m0")
	notRecovered(t, ms[1].Addr(), sdk.ErrNotFound, "nobody", "nobody")
	ms[0].Kill()
	killed := time.Now()
	notRecovered(t, ms[1].Addr(), sdk.ErrConflict, "the one that is asked", "m1", "m0")
	notRecovered(t, ms[1].Addr(), sdk.ErrConflict, "are not lost")
	statusOf1(t, ms[1], "the metadata to be without a leader", func(st sdk.ClusterStatus) bool { return !st.MetadataLed })
	recovered(t, ms[1].Addr(), "m0")
	if d := time.Since(killed); d < metadata.LeaderlessFor {
		t.Errorf("recovered after %v", d)
	}
	if r, err := sdk.RecoverCluster(testContext(t), ms[1].Addr(), []string{"m0"}); err != nil || !r.Done {
		t.Errorf("repeated: %+v, %v", r, err)
	}
	verify(t, ms[1])
	statusOf1(t, ms[1], "one member with everything", func(st sdk.ClusterStatus) bool {
		return st.Members == 1 && st.Unavailable == 0 && st.Lost == 0 && st.PossibleDataLoss == 0 && st.MetadataLed
	})
	waitForVoters(t, 1, ms[1])

	configs[0].Join = []string{ms[1].Addr()}
	back := again(t, configs[0])
	third := again(t, Config{Settings: Settings{Name: "m2", Join: []string{ms[1].Addr()}, NoHTTP: true, DataDir: t.TempDir()}})
	statusOf1(t, third, "three members with everything", func(st sdk.ClusterStatus) bool { return st.Ready == 3 && st.Safe && st.Lost == 0 })
	verify(t, third)
	waitForVoters(t, 3, ms[1], back, third)

	ms[1].Kill() // the later generation is on its disk as the first one was
	configs[1].Join = []string{third.Addr()}
	once := again(t, configs[1])
	waitForVoters(t, 3, once, back, third)
	if g := once.metaView().Generation(); g != 1 {
		t.Errorf("generation %d after a restart", g)
	}
	statusOf1(t, once, "three members again", func(st sdk.ClusterStatus) bool { return st.Ready == 3 && st.Safe && st.Lost == 0 })
	verify(t, once)
}

// The member that is left is started again before anybody has told it that the other is lost for good. It waits for a leader, and is
// told meanwhile. The data was in memory; the cluster goes on without.
func TestRecoverWhileStarting(t *testing.T) {
	t.Parallel() // most of it is waiting
	ms, configs := pair(t, nil)
	fill(t, ms[1])
	ms[0].Kill()
	ms[1].Kill()
	started := make(chan *Member, 1)
	failed := make(chan error, 1)
	go func() {
		m, err := Start(testContext(t), configs[1])
		if err != nil {
			failed <- err
			return
		}
		started <- m
	}()
	eventually(t, "the member to be asked", func() bool {
		_, err := sdk.RecoverCluster(testContext(t), configs[1].Listen, []string{"m0"})
		return err == nil
	})
	recovered(t, configs[1].Listen, "m0")
	select {
	case m := <-started:
		t.Cleanup(m.Kill)
		statusOf1(t, m, "all partitions, empty", func(st sdk.ClusterStatus) bool {
			return st.Members == 1 && st.Unavailable == 0 && st.Lost == st.Partitions
		})
		fill(t, m)
		verify(t, m)
	case err := <-failed:
		t.Fatal(err)
	}
}

// The member stops on the way: when it is started again it goes on, whether or not anybody is there to tell it what is lost.
func TestRecoverGoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	points := []string{"saved *meta.RecoverMetadata", "before *meta.RecoverMetadata", "after *meta.RecoverMetadata"}
	if testing.Short() {
		points = points[:1]
	}
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			var armed atomic.Bool
			var victim atomic.Pointer[Member]
			died := make(chan struct{})
			ms, configs := pair(t, func(i int, cfg *Config) {
				cfg.FaultPoint = func(ctx context.Context, at string) {
					if at == point && armed.CompareAndSwap(true, false) {
						m := victim.Load()
						go func() { m.Kill(); close(died) }() // ends with the member
						<-ctx.Done()
					}
				}
			})
			victim.Store(ms[1])
			ms[0].Kill()
			armed.Store(true)
			asking, stop := context.WithCancel(testContext(t))
			defer stop()
			go func() { // ends with asking
				for asking.Err() == nil {
					_, _ = sdk.RecoverCluster(asking, configs[1].Listen, []string{"m0"}) // it dies meanwhile
				}
			}()
			<-died
			stop()
			m := again(t, configs[1])
			statusOf1(t, m, "all partitions, empty", func(st sdk.ClusterStatus) bool { return st.Members == 1 && st.Unavailable == 0 })
			waitForVoters(t, 1, m)
			if _, err := os.Stat(filepath.Join(configs[1].DataDir, "meta-recover")); !errors.Is(err, os.ErrNotExist) || m.metaView().Generation() != 1 {
				t.Errorf("generation %d, still to be begun: %v", m.metaView().Generation(), err)
			}
		})
	}
}

// Two of three voters are lost, and of the two members that are left one votes and one learns. Only the one that knows most may recover the
// metadata; the other leaves the generation that is over by itself.
func TestRecoverWithOthersLeft(t *testing.T) {
	t.Parallel() // most of it is waiting
	ms := runningMembers(t, 4, nil)
	fill(t, ms[0])
	waitForVoters(t, 3, ms...)
	var lost []string
	var left []*Member
	for _, m := range ms {
		if len(lost) < 2 && m.metaView().Member(m.id).MetaVoter {
			lost = append(lost, m.cfg.Name)
		} else {
			left = append(left, m)
		}
	}
	notRecovered(t, left[0].Addr(), sdk.ErrConflict, "has a leader", lost...)
	for _, m := range ms {
		if m.cfg.Name == lost[0] || m.cfg.Name == lost[1] {
			m.Kill()
		}
	}
	eventually(t, "nobody to lead", func() bool { return left[0].meta.Barrier(testContext(t)) != nil })
	notRecovered(t, left[0].Addr(), sdk.ErrConflict, "are not lost", lost[0])
	notRecovered(t, left[0].Addr(), sdk.ErrConflict, "not lost: it answers", append(lost, left[1].cfg.Name)...)
	first, second := left[0], left[1]
	if _, err := sdk.RecoverCluster(testContext(t), first.Addr(), lost); err != nil {
		first, second = second, first
		notRecovered(t, second.Addr(), sdk.ErrConflict, "ask it at "+first.Addr(), lost...)
	}
	recovered(t, first.Addr(), lost...)
	waitForVoters(t, 1, first, second)
	changeable(t, first, second)
	statusOf1(t, second, "both to have everything", func(st sdk.ClusterStatus) bool { return st.Members == 2 && st.Safe })
}
