package peers

import (
	"context"
	"errors"

	"github.com/redis/rueidis"
)

// rueidisClient is a Redis Cluster by rueidis, which pipelines concurrent commands by itself.
type rueidisClient struct{ client rueidis.Client }

func connectRueidis(_ context.Context, c *Cluster) (Client, error) {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: c.Addrs})
	if err != nil {
		return nil, err
	}
	return rueidisClient{client}, nil
}

// Set stores a value.
func (r rueidisClient) Set(ctx context.Context, key string, value []byte) error {
	return r.client.Do(ctx, r.client.B().Set().Key(key).Value(rueidis.BinaryString(value)).Build()).Error()
}

// Get returns the value of a key.
func (r rueidisClient) Get(ctx context.Context, key string) ([]byte, error) {
	v, err := r.client.Do(ctx, r.client.B().Get().Key(key).Build()).AsBytes()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	return v, err
}

// SetAll stores values by one pipeline. MSET and the helper for it would be one command a slot, and no key of a batch shares its slot with
// many others.
func (r rueidisClient) SetAll(ctx context.Context, keys []string, values [][]byte) error {
	commands := make(rueidis.Commands, len(keys))
	for i, k := range keys {
		commands[i] = r.client.B().Set().Key(k).Value(rueidis.BinaryString(values[i])).Build()
	}

	var errs []error
	for _, answer := range r.client.DoMulti(ctx, commands...) {
		errs = append(errs, answer.Error())
	}
	return errors.Join(errs...)
}

// GetAll reads values by the helper, which groups commands by the slots of their keys.
func (r rueidisClient) GetAll(ctx context.Context, keys []string, each func(value []byte)) error {
	answers, err := rueidis.MGet(r.client, ctx, keys)
	if err != nil {
		return err
	}

	for _, m := range answers {
		v, err := m.AsBytes()
		if err == nil {
			each(v)
		} else if !rueidis.IsRedisNil(err) {
			return err
		}
	}
	return nil
}

// Close closes the client.
func (r rueidisClient) Close() error {
	r.client.Close()
	return nil
}
