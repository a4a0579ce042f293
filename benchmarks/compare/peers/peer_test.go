package peers

import (
	"errors"
	"strings"
	"testing"
)

func TestSelect(t *testing.T) {
	list, err := Select("rueidis, gridiron-24")
	if err != nil || len(list) != 2 || list[0].Name != "gridiron-24" || list[1].Name != "rueidis" {
		t.Errorf("%v, %v", list, err)
	}
	_, err = Select("rueidis,redis,ignite")
	if err == nil || !strings.Contains(err.Error(), `"redis"`) || !strings.Contains(err.Error(), `"ignite"`) {
		t.Errorf("%v", err)
	}
}

func TestWhatIsNotInstalledIsSaid(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	site := &Site{Dir: t.TempDir(), Heap: "1g"}
	for _, p := range All {
		if p.System == "olric" {
			continue // is this program
		}
		if c, err := p.Start(t.Context(), site, 3); c != nil || !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), p.System) {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

func TestMemberOfOlricNeedsItsArguments(t *testing.T) {
	for _, args := range [][]string{nil, {"127.0.0.1:1", "x", "1", ""}, {"127.0.0.1", "127.0.0.1:2", "1", ""}, {"127.0.0.1:1", "127.0.0.1:2", "x", ""}} {
		if err := OlricMember(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
