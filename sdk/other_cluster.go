package sdk

import (
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// OtherClusterError says that the member at an address belongs to another cluster than the client's. The error that holds it
// also is ErrInvalid.
type OtherClusterError struct {
	Addr             string
	Name, ID         string // of the cluster at the address; the ID is empty during its bootstrap
	WantName, WantID string // of the client's cluster; empty if the client does not know it
}

// Error names both clusters.
func (e *OtherClusterError) Error() string {
	if e.WantName != "" && e.Name != e.WantName {
		return fmt.Sprintf("%s: this is cluster %q, not %q", e.Addr, e.Name, e.WantName)
	}
	return fmt.Sprintf("%s: this is cluster %q with ID %s, not the one with ID %s", e.Addr, e.Name, e.ID, e.WantID)
}

// otherCluster returns an error if the answer to a hello is that of a member of another cluster.
func otherCluster(h *wire.Hello, a *wire.HelloAnswer, addr string) *OtherClusterError {
	// Whoever did not answer, or is no member of anything yet, says nothing about a cluster.
	otherName := h.Cluster != "" && a.Cluster != "" && a.Cluster != h.Cluster
	otherID := !h.ClusterID.IsZero() && !a.ClusterID.IsZero() && a.ClusterID != h.ClusterID
	if !otherName && !otherID {
		return nil
	}

	e := &OtherClusterError{Addr: addr, Name: a.Cluster, WantName: h.Cluster}
	if !a.ClusterID.IsZero() {
		e.ID = a.ClusterID.String()
	}
	if !h.ClusterID.IsZero() {
		e.WantID = h.ClusterID.String()
	}
	return e
}
