package app

import (
	"encoding/json"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCommitOf(t *testing.T) {
	const whole = "9ad0688d2a57250f1c2b3a4958677685949f3e2d"
	built := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Path: "github.com/gridiron-io/gridiron", Version: version}, Settings: settings}
	}
	revision := debug.BuildSetting{Key: "vcs.revision", Value: whole}
	for name, c := range map[string]struct {
		info            *debug.BuildInfo
		commit, unknown string
	}{
		"checkout":         {built("(devel)", revision, debug.BuildSetting{Key: "vcs.modified", Value: "false"}), whole, ""},
		"changed checkout": {built("v0.0.0-20261130220523-9ad0688d2a57+dirty", revision, debug.BuildSetting{Key: "vcs.modified", Value: "true"}), whole + "+", ""},
		"module cache":     {built("v0.0.0-20261130220523-9ad0688d2a57"), "9ad0688d2a57", ""},
		"after a release":  {built("v0.3.1-0.20261130220523-9ad0688d2a57"), "9ad0688d2a57", ""},
		"before a release": {built("v1.0.0-rc.1.0.20261130220523-9ad0688d2a57"), "9ad0688d2a57", ""},
		"changed":          {built("v0.0.0-20261130220523-9ad0688d2a57+dirty"), "9ad0688d2a57+", ""},
		"release":          {built("v0.3.0"), "", "release v0.3.0"},
		"without":          {built("(devel)"), "", "-buildvcs=false"},
		"empty":            {built(""), "", "-buildvcs=false"},
	} {
		commit, unknown := commitOf(c.info, true)
		require.Equal(t, c.commit, commit, name)
		if c.unknown == "" {
			require.Empty(t, unknown, name)
		} else {
			require.Contains(t, unknown, c.unknown, name)
		}
	}
	commit, unknown := commitOf(nil, false)
	require.Empty(t, commit)
	require.NotEmpty(t, unknown)
}

// Of commit and why it is unknown, one is told.
func TestVersionTellsOfTheCommit(t *testing.T) {
	var v struct {
		Version       string
		Commit        *string
		CommitUnknown *string `json:"commit_unknown"`
	}
	require.NoError(t, json.Unmarshal([]byte(run(t, "version", "-o", "json")), &v))
	require.NotEmpty(t, v.Version)
	require.True(t, (v.Commit == nil) != (v.CommitUnknown == nil), "%+v", v)
}
