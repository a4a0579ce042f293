package sdk

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// preloadMagic begins a file of keys. What follows, up to a checksum of all before it: the partitions of the cluster, the number of
	// keys, and each key behind its partition.
	preloadMagic = "gridiron keys 1\n"
	// maxPreload bounds a file of keys in bytes.
	maxPreload = 64 << 20
	// preloadPart is how many keys are asked for at the same time.
	preloadPart = 2048
)

var errPreload = errors.New("damaged")

// savePreload writes the keys of the copies, the most used first. The file is there as a whole, or as it was.
func (n *nearCache) savePreload() {
	if n.cfg.Preload == "" {
		return
	}

	var keys []byte
	count := 0
	n.cache.Hottest(n.now(), func(partition int, key string) bool {
		keys = wire.AppendString(wire.AppendUvarint(keys, uint64(partition)), key)
		count++
		return len(keys) < maxPreload/2
	})
	b := wire.AppendUvarint(wire.AppendUvarint([]byte(preloadMagic), uint64(n.c.partitionCount())), uint64(count))
	b = append(b, keys...)
	b = wire.AppendU32(b, crc32.ChecksumIEEE(b))

	// A session that has read nothing knows nothing better than the one before.
	if count == 0 {
		return
	}
	if err := writeWhole(n.cfg.Preload, b); err != nil {
		n.c.cfg.logger.Warn("gridiron: the keys of a near cache could not be written, and the next session begins without them",
			"map", n.name, "file", n.cfg.Preload, "error", err)
	}
}

// writeWhole writes a file so that readers find all of it, or what was there before.
func writeWhole(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()

	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// preloadItems reads the keys that another session has written.
func preloadItems[K comparable](path string, partitions, most int) ([]bulkItem[K], error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPreload+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}

	body, whole := bytes.CutPrefix(b, []byte(preloadMagic))
	if !whole || len(body) < 4 || len(b) > maxPreload {
		return nil, errPreload
	}
	sum := wire.NewReader(body[len(body)-4:])
	if sum.U32() != crc32.ChecksumIEEE(b[:len(b)-4]) {
		return nil, errPreload
	}

	r := wire.NewReader(body[:len(body)-4])
	if n := r.Uvarint(); n != uint64(partitions) {
		return nil, fmt.Errorf("of a cluster with %d partitions, not %d", n, partitions)
	}
	items := make([]bulkItem[K], 0, min(r.Count(2), most))
	for r.Len() > 0 && r.Err() == nil && len(items) < most {
		p, key := r.Uvarint(), r.Bytes()
		if r.Err() != nil || p >= uint64(partitions) || len(key) == 0 || len(key) > wire.MaxKey {
			return nil, errPreload
		}
		items = append(items, bulkItem[K]{partition: int(p), encoded: key})
	}
	return items, r.Err()
}

// preload reads the values of the keys that the last session has written, once events are heard. It is a goroutine that ends with the near
// cache.
func (m *Map[K, V]) preload(n *nearCache) {
	items, err := preloadItems[K](n.cfg.Preload, n.c.partitionCount(), n.cfg.MaxEntries)
	if err != nil {
		// The first session finds no file.
		if !errors.Is(err, fs.ErrNotExist) {
			n.c.cfg.logger.Warn("gridiron: the file with the keys of a near cache cannot be used; the near cache begins empty",
				"map", n.name, "file", n.cfg.Preload, "error", err)
		}
		return
	}

	// Without a stream nothing would be kept.
	for n.stream.Load() == nil {
		started := n.started.wait()
		if n.stream.Load() != nil {
			break
		}
		select {
		case <-started:
		case <-n.ctx.Done():
			return
		}
	}

	for len(items) > 0 && n.ctx.Err() == nil {
		part := items[:min(preloadPart, len(items))]
		items = items[len(part):]
		b := newBulk(m, wire.OpGetMany, 0)
		b.items, b.near = part, n
		// What cannot be read now is read when it is asked for.
		_ = b.read(n.ctx, func(*bulkItem[K], V) {})
	}
}
