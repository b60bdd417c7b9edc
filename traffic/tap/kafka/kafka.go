// Package kafka reads recorded traffic from Kafka topics as a member of a consumer group. The position of the group moves
// on only over records whose observations the sink has kept for good: what a crash, a rebalance or a broker's restart
// cuts off is read again, and what is read again is known by its id.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/tap"
)

// Tap is one member of the group. Run does the work; the rest may be called from anywhere.
type Tap struct {
	c   Config
	log *slog.Logger
	in  *tap.Intake

	mu      sync.Mutex
	figures figures
	told    time.Time // when rejects were logged last
	untold  int64
}

// Open checks c, a filled section, and what it names, and returns a Tap that has not begun. into says how records
// become observations and who takes them; its Dialect and Rejected are the Tap's to set. log may be nil.
func Open(c Config, into tap.Options, log *slog.Logger) (*Tap, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &Tap{c: c, log: log, figures: figures{places: map[place]standing{}}}
	into.Dialect = c.Dialect
	told := into.Rejected
	into.Rejected = func(r palladium.Reject) {
		t.rejected(r)
		if told != nil {
			told(r)
		}
	}
	var err error
	if t.in, err = tap.New(into); err != nil {
		return nil, fmt.Errorf("taps.kafka: %w", err)
	}
	if _, err = c.options(); err != nil {
		return nil, fmt.Errorf("taps.kafka: %w", err)
	}
	return t, nil
}

// Pauses between tries.
const (
	shortPause = 200 * time.Millisecond
	longPause  = 10 * time.Second
)

// Run reads until ctx ends, then finishes the batch in hand within the drain time, commits it and leaves the group. What
// fails meanwhile is tried again for ever, shown by Health and logged. It returns nil.
func (t *Tap) Run(ctx context.Context) error {
	pause := shortPause
	for ctx.Err() == nil {
		begun := time.Now()
		err := t.session(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(begun) > time.Minute {
			pause = shortPause
		}
		t.failed("kafka cannot be read; trying again", err)
		wait(ctx, pause)
		pause = min(2*pause, longPause)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// session is one membership. It ends with ctx, or with an error that only a new client gets over.
func (t *Tap) session(ctx context.Context) error {
	opts, err := t.c.options()
	if err != nil {
		return err
	}
	cl, err := kgo.NewClient(append(opts,
		kgo.WithLogger(logger{t.log}),
		kgo.OnPartitionsAssigned(t.assigned),
		kgo.OnPartitionsRevoked(t.revoked),
		kgo.OnPartitionsLost(t.revoked),
	)...)
	if err != nil {
		return err
	}
	defer cl.CloseAllowingRebalance()
	for {
		fetches := poll(ctx, cl, t.c.Batch)
		if ctx.Err() != nil && fetches.NumRecords() == 0 {
			return nil
		}
		err := t.troubles(fetches)
		if err == nil && fetches.NumRecords() == 0 {
			t.reached(cl.Ping(ctx))
		}
		if fetches.NumRecords() > 0 && !t.take(ctx, cl, fetches) {
			return nil
		}
		cl.AllowRebalance()
		if err != nil {
			return err
		}
	}
}

// quiet is how long a poll waits for records before the brokers are asked whether they are still there.
const quiet = 5 * time.Second

func poll(ctx context.Context, cl *kgo.Client, most int) kgo.Fetches {
	ctx, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	return cl.PollRecords(ctx, most)
}

// troubles looks at what the brokers complain of, and returns what a new client is needed for.
func (t *Tap) troubles(fetches kgo.Fetches) (fatal error) {
	fetches.EachError(func(topic string, partition int32, err error) {
		var lost *kgo.ErrDataLoss
		switch {
		case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		case errors.As(err, &lost):
			t.missed(place{topic, partition}, max(0, lost.ConsumedTo-lost.ResetTo), "the brokers have lost records that were read before; reading on from where they agree")
		case fatal == nil && topic != "":
			fatal = fmt.Errorf("read partition %d of topic %s: %w", partition, topic, err)
		case fatal == nil:
			fatal = err
		}
	})
	return fatal
}

// take gives what was fetched to the sink, as often as it takes, and commits it; false when the end came before.
func (t *Tap) take(ctx context.Context, cl *kgo.Client, fetches kgo.Fetches) bool {
	records := make([]tap.Record, 0, fetches.NumRecords())
	var last []*kgo.Record // of each partition
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		t.fetched(&p)
		source := fmt.Sprintf("kafka:%s/%d", p.Topic, p.Partition)
		for _, r := range p.Records {
			if len(r.Value) > 0 { // an empty one is a tombstone of a compacted topic
				records = append(records, tap.Record{Value: r.Value, Source: source, At: r.Offset})
			}
		}
		if n := len(p.Records); n > 0 {
			last = append(last, p.Records[n-1])
		}
	})
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { wait(work, t.c.Drain); cancel() })()
	for pause := shortPause; ; pause = min(2*pause, longPause) {
		_, _, err := t.in.Take(work, records)
		if err == nil {
			break
		}
		if work.Err() != nil {
			t.log.Warn("the batch in hand was not finished in time; it is read again at the next start", "records", len(records))
			return false
		}
		t.failed("observations are not taken; the position stays and they are offered again", err)
		wait(work, pause)
	}
	if err := cl.CommitRecords(work, last...); err != nil {
		// Another member may have got the partitions meanwhile. Nothing is lost: what was not committed is read again.
		t.failed("the position could not be committed; records may be read twice", err)
		return true
	}
	t.committed(last)
	return ctx.Err() == nil
}
