package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckEnvironment(t *testing.T) {
	for variable, want := range map[string]struct{ member, client string }{ // what the error says; "": there is none
		"GRID_CLUSTER_NMAE=shop":   {"did you mean GRID_CLUSTER_NAME?", "did you mean GRID_CLUSTER_NAME?"},
		"GRID_CLUSTER_GRACE=5s":    {"did you mean GRID_CLUSTER_REBUILD_DELAY?", "did you mean GRID_CLUSTER_REBUILD_DELAY?"},
		"GRID_SERVR=a:1":           {"did you mean GRID_SERVER?", "did you mean GRID_SERVER?"},
		"GRID_LISTN_PORT=5702":     {"did you mean GRID_LISTEN_PORT?", "did you mean GRID_LISTEN_PORT?"},
		"GRID_TIMEOUTS=5s":         {"did you mean GRID_TIMEOUT?", "did you mean GRID_TIMEOUT?"},
		"GRID_HOME=/opt/grid":      {"unknown variable GRID_HOME in the environment: there are GRID_CONFIG, GRID_SERVER, ", ""},
		"GRID_PORT=5702":           {"unknown variable GRID_PORT", ""},
		"GRID_CLUSTER_NMAE=":       {},
		"GRID_CLUSTER_NAME=shop":   {},
		"GRID_STORAGE_DIR=/x":      {},
		"GRID_CONFIG=x.yaml":       {},
		"GRIDIRON_HOME=/opt":       {},
		"OTEL_GRID_X=1":            {},
		"grid_cluster_nmae=shop":   {},
		"GRID_LIMITS_MAX_VALUE=1k": {},

		// What Kubernetes puts into each container for services named grid, grid-peers and grid-listen.
		"GRID_SERVICE_HOST=10.0.0.7":                 {},
		"GRID_SERVICE_PORT=5701":                     {},
		"GRID_SERVICE_PORT_CLIENTS=5701":             {},
		"GRID_PORT=tcp://10.0.0.7:5701":              {},
		"GRID_PORT_5701_TCP=tcp://10.0.0.7:5701":     {},
		"GRID_PORT_5701_TCP_PROTO=tcp":               {},
		"GRID_PORT_5701_TCP_PORT=5701":               {},
		"GRID_PORT_5701_TCP_ADDR=10.0.0.7":           {},
		"GRID_PEERS_SERVICE_HOST=10.0.0.8":           {},
		"GRID_PEERS_PORT_5702_UDP=udp://10.0.0.8:57": {},
		"GRID_LISTN_PORT=tcp://10.0.0.9:1":           {},
	} {
		member, client := CheckEnvironment([]string{"PATH=/bin", variable}, false), CheckEnvironment([]string{variable}, true)
		if want.member == "" {
			require.NoError(t, member, variable)
		} else {
			require.ErrorContains(t, member, want.member, variable)
		}
		if want.client == "" {
			require.NoError(t, client, variable)
		} else {
			require.ErrorContains(t, client, want.client, variable)
		}
	}

	err := CheckEnvironment([]string{"GRID_A=1", "GRID_B=2"}, false)
	require.ErrorContains(t, err, "GRID_A")
	require.ErrorContains(t, err, "GRID_B")
}

func TestClusterNameOfAFile(t *testing.T) {
	for text, want := range map[string]string{"cluster: {name: shop, partitions: 3}\n": "shop", "member: {name: m1}\n": "", "# nothing\n": ""} {
		name, err := ClusterName(file(t, text))
		require.NoError(t, err)
		require.Equal(t, want, name)
	}
	_, err := ClusterName(file(t, "cluster: {nmae: shop}\n"))
	require.ErrorContains(t, err, `did you mean "name"?`)
}
