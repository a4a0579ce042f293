package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	hz "github.com/hazelcast/hazelcast-go-client"
	"github.com/hazelcast/hazelcast-go-client/logger"
	"github.com/hazelcast/hazelcast-go-client/types"
)

// hazelcastVersion is that of the members.
const hazelcastVersion = "5.7.0"

// hazelcastConfig is one member's: its port, its peers, the number of backups. What is not here is as Hazelcast has it.
const hazelcastConfig = `<?xml version="1.0" encoding="UTF-8"?>
<hazelcast xmlns="http://www.hazelcast.com/schema/config">
  <cluster-name>compare</cluster-name>
  <properties>
    <property name="hazelcast.phone.home.enabled">false</property>
    <property name="hazelcast.initial.min.cluster.size">%d</property>
  </properties>
  <network>
    <port auto-increment="false">%d</port>
    <interfaces enabled="true"><interface>127.0.0.1</interface></interfaces>
    <join>
      <auto-detection enabled="false"/>
      <multicast enabled="false"/>
      <tcp-ip enabled="true">%s</tcp-ip>
    </join>
  </network>
  <map name="compare"><backup-count>%d</backup-count></map>
</hazelcast>
`

// hazelcastModules are the flags that Hazelcast's own start script gives to Java.
var hazelcastModules = strings.Fields("--add-modules java.se --add-exports java.base/jdk.internal.ref=ALL-UNNAMED " +
	"--add-opens java.base/java.lang=ALL-UNNAMED --add-opens java.base/sun.nio.ch=ALL-UNNAMED " +
	"--add-opens java.management/sun.management=ALL-UNNAMED --add-opens jdk.management/com.sun.management.internal=ALL-UNNAMED")

// hazelcast starts members with two synchronous backups, where there are three.
func hazelcast(ctx context.Context, site *Site, members int) (*Cluster, error) {
	java, err := site.program("java")
	if err != nil {
		return nil, err
	}

	jar, err := site.hazelcastJar(ctx)
	if err != nil {
		return nil, err
	}

	g, err := site.newGroup("hazelcast", members)
	if err != nil {
		return nil, err
	}

	backups := min(members, 3) - 1
	join := "<member>" + strings.Join(g.addrs(members), "</member><member>") + "</member>"

	for i := range members {
		file := filepath.Join(g.dir, fmt.Sprintf("m%d.xml", i))
		text := fmt.Sprintf(hazelcastConfig, members, g.port(i, 0), join, backups)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return g.failed(err)
		}

		args := append([]string{"-Xmx" + site.Heap, "-Dhazelcast.config=" + file}, hazelcastModules...)
		cmd := exec.Command(java, append(args, "-cp", jar, "com.hazelcast.core.server.HazelcastMemberStarter")...)
		if _, err := g.launch(fmt.Sprintf("m%d", i), cmd); err != nil {
			return g.failed(err)
		}
	}

	// A port is open before the members have joined. The client's first write waits for that.
	if err := g.poll(ctx, func() error { return dialed(g.addrs(members)) }); err != nil {
		return g.failed(err)
	}
	about := fmt.Sprintf("Hazelcast %s, 271 partitions, %d synchronous backups, heap of at most %s a member", hazelcastVersion, backups, site.Heap)
	return g.cluster(about, backups+1, members), nil
}

// hazelcastJar returns the path of the jar, which Maven brings into the site's folder from its own cache or its repository.
func (s *Site) hazelcastJar(ctx context.Context) (string, error) {
	jar := filepath.Join(s.Dir, "hazelcast-"+hazelcastVersion+".jar")
	if _, err := os.Stat(jar); err == nil {
		return jar, nil
	}

	mvn, err := s.program("mvn")
	if err != nil {
		return "", err
	}

	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "dependency:copy", "-Dartifact=com.hazelcast:hazelcast:"+hazelcastVersion,
		"-DoutputDirectory="+s.Dir)
	cmd.Dir = s.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the jar of Hazelcast, which Maven could not resolve (%w: %s): %w", err, lastLine(out), ErrAbsent)
	}
	return jar, nil
}

func lastLine(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

// hazelcastClient is a map of Hazelcast.
type hazelcastClient struct {
	client *hz.Client
	m      *hz.Map
}

func connectHazelcast(ctx context.Context, c *Cluster) (Client, error) {
	cfg := hz.NewConfig()
	cfg.Cluster.Name = "compare"
	cfg.Cluster.Network.SetAddresses(c.Addrs...)
	cfg.Cluster.InvocationTimeout = types.Duration(time.Minute) // the first call waits until all members are there
	cfg.Logger.Level = logger.OffLevel

	client, err := hz.StartNewClientWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}

	m, err := client.GetMap(ctx, "compare")
	if err != nil {
		_ = client.Shutdown(ctx)
		return nil, err
	}
	return &hazelcastClient{client, m}, nil
}

// Set stores a value without asking for the one before.
func (h *hazelcastClient) Set(ctx context.Context, key string, value []byte) error {
	return h.m.Set(ctx, key, value)
}

// Get returns the value of a key.
func (h *hazelcastClient) Get(ctx context.Context, key string) ([]byte, error) {
	v, err := h.m.Get(ctx, key)
	if err != nil || v == nil {
		return nil, err
	}

	b, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("a value is a %T", v)
	}
	return b, nil
}

// SetAll stores values by putAll.
func (h *hazelcastClient) SetAll(ctx context.Context, keys []string, values [][]byte) error {
	entries := make([]types.Entry, len(keys))
	for i, k := range keys {
		entries[i] = types.NewEntry(k, values[i])
	}
	return h.m.PutAll(ctx, entries...)
}

// GetAll reads values by getAll.
func (h *hazelcastClient) GetAll(ctx context.Context, keys []string, each func(value []byte)) error {
	list := make([]any, len(keys))
	for i, k := range keys {
		list[i] = k
	}

	entries, err := h.m.GetAll(ctx, list...)
	for _, e := range entries {
		if b, ok := e.Value.([]byte); ok {
			each(b)
		}
	}
	return err
}

// Close shuts the client down.
func (h *hazelcastClient) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return h.client.Shutdown(ctx)
}
