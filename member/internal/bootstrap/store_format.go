package bootstrap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A record file is one line and a JSON document. The line is "gridiron member record 1 crc32c " and eight hexadecimal digits: the
// CRC-32 (Castagnoli) of all bytes of the document. People may read the file, but not edit it.
const recordHeader = "gridiron member record %d crc32c %08x\n"

// recordVersion is the format's version. 1: first version.
const recordVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type contentJSON struct {
	Member    string        `json:"member"`
	Cluster   string        `json:"cluster"`
	Starts    uint64        `json:"starts"`
	Accepted  *proposalJSON `json:"accepted"`
	Refused   []string      `json:"refused"`
	ClusterID *string       `json:"cluster_id"`
	Addrs     []string      `json:"addrs"`
}

type proposalJSON struct {
	ClusterID    string            `json:"cluster_id"`
	Participants []participantJSON `json:"seats"`
}

type participantJSON struct {
	Member    string `json:"member"`
	Addr      string `json:"addr"`
	PeersAddr string `json:"peers_addr"`
	ReplicaID uint64 `json:"replica_id"`
}

func encodeContent(c content) []byte {
	j := contentJSON{Member: c.member.String(), Cluster: c.cluster, Starts: c.starts, Refused: []string{}, Addrs: []string{}}
	if f := c.record.Accepted; f != nil {
		j.Accepted = &proposalJSON{ClusterID: f.ClusterID.String()}
		for _, s := range f.Participants {
			j.Accepted.Participants = append(j.Accepted.Participants, participantJSON{s.Member.String(), s.Addr, s.PeersAddr, s.ReplicaID})
		}
	}

	for _, id := range c.record.Refused {
		j.Refused = append(j.Refused, id.String())
	}

	if id := c.record.ClusterID; !id.IsZero() {
		text := id.String()
		j.ClusterID = &text
	}

	j.Addrs = append(j.Addrs, c.record.Addrs...)
	body, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("bootstrap: a record of texts and numbers does not encode: %v", err))
	}

	// The checksum covers the whole document, so a file that was cut off is noticed.
	body = append(body, '\n')
	return append(fmt.Appendf(nil, recordHeader, recordVersion, crc32.Checksum(body, castagnoli)), body...)
}

func decodeContent(b []byte) (content, error) {
	header, body, ok := bytes.Cut(b, []byte("\n"))
	if !ok {
		return content{}, fmt.Errorf("%d bytes without a header line", len(b))
	}

	var version int
	var sum uint32
	_, err := fmt.Sscanf(string(header)+"\n", recordHeader, &version, &sum)
	// Sscanf accepts more than the writer writes, so the header is compared byte by byte as well.
	if err != nil || string(header)+"\n" != fmt.Sprintf(recordHeader, version, sum) {
		return content{}, errors.New("its first line is not that of a member record")
	}
	// The version comes before the checksum: another format may have another one.
	if version != recordVersion {
		return content{}, fmt.Errorf("it has format %d, this program reads %d", version, recordVersion)
	}
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return content{}, fmt.Errorf("its checksum is %08x, its header says %08x", got, sum)
	}

	var j contentJSON
	dec := json.NewDecoder(bytes.NewReader(body))
	// A field that this program does not know could hold a promise.
	dec.DisallowUnknownFields()
	if err := dec.Decode(&j); err != nil {
		return content{}, err
	}
	return j.content()
}

func (j *contentJSON) content() (content, error) {
	var errs []error
	id := func(text string) wire.ID {
		id, err := wire.ParseID(text)
		errs = append(errs, err)
		return id
	}

	c := content{member: id(j.Member), cluster: j.Cluster, starts: j.Starts}
	if j.Accepted != nil {
		f := &Proposal{ClusterID: id(j.Accepted.ClusterID)}
		for _, s := range j.Accepted.Participants {
			f.Participants = append(f.Participants, Participant{Member: id(s.Member), Addr: s.Addr, PeersAddr: s.PeersAddr, ReplicaID: s.ReplicaID})
		}
		c.record.Accepted = f
	}

	for _, text := range j.Refused {
		c.record.Refused = append(c.record.Refused, id(text))
	}

	if j.ClusterID != nil {
		c.record.ClusterID = id(*j.ClusterID)
	}
	if len(j.Addrs) > 0 {
		c.record.Addrs = j.Addrs
	}

	// IDs that do not parse are all reported at once.
	if err := errors.Join(errs...); err != nil {
		return content{}, err
	}

	// No program writes such a record, though its checksum is right.
	if c.member.IsZero() || !validText(c.cluster) || c.starts == 0 {
		return content{}, errors.New("it names no member, no cluster or no start")
	}

	return c, c.record.validate()
}
