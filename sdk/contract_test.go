package sdk_test

import (
	"context"
	"crypto/tls"
	"iter"
	"log/slog"
	"net"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/codec"
)

type (
	ctx     = context.Context
	anyMap  = sdk.Map[string, int]
	anyTask = sdk.Future[int]
)

// Programs keep these functions in variables and fields of their own, so that a further parameter breaks them, also a variadic one.
var (
	_ func(ctx, []string, ...sdk.Option) (*sdk.Client, error)          = sdk.Connect
	_ func(*sdk.Client, string, ...sdk.MapOption) (*anyMap, error)     = sdk.OpenMap[string, int]
	_ func(error) bool                                                 = sdk.Retryable
	_ func(*sdk.Client) error                                          = (*sdk.Client).Close
	_ func(*sdk.Client, ctx) ([]sdk.Member, error)                     = (*sdk.Client).Members
	_ func(*sdk.Client, ctx) (sdk.ClusterStatus, error)                = (*sdk.Client).Cluster
	_ func(*sdk.Client, ctx) ([]sdk.Partition, error)                  = (*sdk.Client).Partitions
	_ func(*sdk.Client, string) *sdk.Executor                          = (*sdk.Client).Executor
	_ func(string) sdk.Option                                          = sdk.WithClusterName
	_ func(string) sdk.Option                                          = sdk.WithClientName
	_ func(*tls.Config) sdk.Option                                     = sdk.WithTLS
	_ func(time.Duration) sdk.Option                                   = sdk.WithTimeout
	_ func(*slog.Logger) sdk.Option                                    = sdk.WithLogger
	_ func(trace.TracerProvider) sdk.Option                            = sdk.WithTracerProvider
	_ func(metric.MeterProvider) sdk.Option                            = sdk.WithMeterProvider
	_ func(func(context.Context, string) (net.Conn, error)) sdk.Option = sdk.WithDialer
	_ func(codec.Codec) sdk.MapOption                                  = sdk.WithCodec
	_ func(sdk.ReadMode) sdk.MapOption                                 = sdk.WithReads
	_ sdk.ReadMode                                                     = sdk.Linearizable
)

// Maps.
var (
	_ func(*anyMap, ctx, string) (int, bool, error)                                                           = (*anyMap).Get
	_ func(*anyMap, ctx, ...string) (map[string]int, error)                                                   = (*anyMap).GetAll
	_ func(*anyMap, ctx, string) (bool, error)                                                                = (*anyMap).ContainsKey
	_ func(*anyMap, ctx, string) (sdk.EntryView[string, int], bool, error)                                    = (*anyMap).EntryView
	_ func(*anyMap, ctx, string, int, ...sdk.WriteOption) error                                               = (*anyMap).Set
	_ func(*anyMap, ctx, string, int, ...sdk.WriteOption) (int, bool, error)                                  = (*anyMap).Put
	_ func(*anyMap, ctx, string, int, ...sdk.WriteOption) (int, bool, error)                                  = (*anyMap).PutIfAbsent
	_ func(*anyMap, ctx, string, int, ...sdk.WriteOption) (int, bool, error)                                  = (*anyMap).Replace
	_ func(*anyMap, ctx, string, int, int, ...sdk.WriteOption) (bool, error)                                  = (*anyMap).ReplaceIfSame
	_ func(*anyMap, ctx, string) (int, bool, error)                                                           = (*anyMap).Remove
	_ func(*anyMap, ctx, string, int) (bool, error)                                                           = (*anyMap).RemoveIfSame
	_ func(*anyMap, ctx, string) (bool, error)                                                                = (*anyMap).Delete
	_ func(*anyMap, ctx, map[string]int, ...sdk.WriteOption) error                                            = (*anyMap).SetAll
	_ func(*anyMap, ctx, ...string) (int, error)                                                              = (*anyMap).DeleteAll
	_ func(*anyMap, ctx, sdk.Predicate) (int, error)                                                          = (*anyMap).RemoveAll
	_ func(*anyMap, ctx, string, time.Duration) (bool, error)                                                 = (*anyMap).SetTTL
	_ func(*anyMap, ctx, string) (bool, error)                                                                = (*anyMap).Evict
	_ func(*anyMap, ctx) error                                                                                = (*anyMap).Clear
	_ func(*anyMap, ctx) (int, error)                                                                         = (*anyMap).Size
	_ func(*anyMap, ctx) (bool, error)                                                                        = (*anyMap).IsEmpty
	_ func(*anyMap, ctx) error                                                                                = (*anyMap).Destroy
	_ func(*anyMap, ctx, string, func(context.Context, string) (int, error), ...sdk.WriteOption) (int, error) = (*anyMap).GetOrLoad
	_ func(*anyMap, ctx, ...sdk.QueryOption) iter.Seq2[string, error]                                         = (*anyMap).Keys
	_ func(*anyMap, ctx, ...sdk.QueryOption) iter.Seq2[int, error]                                            = (*anyMap).Values
	_ func(*anyMap, ctx, ...sdk.QueryOption) iter.Seq2[sdk.Entry[string, int], error]                         = (*anyMap).Entries
	_ func(*anyMap, ctx, string, ...sdk.LockOption) (*sdk.Lock, error)                                        = (*anyMap).Lock
	_ func(*anyMap, ctx, string, ...sdk.LockOption) (*sdk.Lock, bool, error)                                  = (*anyMap).TryLock
	_ func(*anyMap, ctx, string) error                                                                        = (*anyMap).ForceUnlock
	_ func(*anyMap, ctx, string) (bool, error)                                                                = (*anyMap).IsLocked
	_ func(*sdk.Lock) uint64                                                                                  = (*sdk.Lock).Fence
	_ func(*sdk.Lock, ctx) error                                                                              = (*sdk.Lock).Unlock
	_ func(*sdk.Lock) <-chan struct{}                                                                         = (*sdk.Lock).Lost
	_ func(time.Duration) sdk.LockOption                                                                      = sdk.Lease

	_ func(*anyMap, ctx, sdk.EntryListener[string, int], ...sdk.ListenerOption) (*sdk.Subscription, error) = (*anyMap).AddEntryListener
	_ func(*anyMap, ctx, ...sdk.ListenerOption) iter.Seq2[sdk.Event[string, int], error]                   = (*anyMap).Watch
	_ func(*sdk.Subscription) error                                                                        = (*sdk.Subscription).Close
	_ func(*sdk.Subscription) (sdk.SubscriptionState, time.Time)                                           = (*sdk.Subscription).State
	_ func(any) sdk.ListenerOption                                                                         = sdk.OnKey
	_ func(sdk.Predicate) sdk.ListenerOption                                                               = sdk.Matching
	_ func() sdk.ListenerOption                                                                            = sdk.WithoutValues
	_ func() sdk.ListenerOption                                                                            = sdk.WithExpiryChanges
	_ func(sdk.ResumeToken) sdk.ListenerOption                                                             = sdk.From

	_ func(time.Duration) sdk.WriteOption = sdk.WithTTL
	_ func(time.Duration) sdk.WriteOption = sdk.WithMaxIdle
	_ func() sdk.WriteOption              = sdk.KeepTTL
	_ func(uint64) sdk.WriteOption        = sdk.IfVersion
	_ func(*sdk.Lock) sdk.WriteOption     = sdk.WithFence
	_ func(string) sdk.Predicate          = sdk.KeyGlob

	_ func(ctx, *anyMap, string, int, ...sdk.WriteOption) (int, error)                     = sdk.Add[string, int]
	_ func(ctx, *sdk.Map[string, []byte], string, []byte, ...sdk.WriteOption) (int, error) = sdk.Append[string]
	_ func(ctx, *anyMap, string, any, ...sdk.WriteOption) (int, error)                     = sdk.MergeJSON[string, int]
	_ func(ctx, *anyMap, string, string, any) (bool, error)                                = sdk.ExecuteOnKey[bool, string, int]

	_ func(string) sdk.Predicate              = sdk.SQL
	_ [6]func(string, any) sdk.Predicate      = [...]func(string, any) sdk.Predicate{sdk.Eq, sdk.Ne, sdk.Gt, sdk.Ge, sdk.Lt, sdk.Le}
	_ func(string, any, any) sdk.Predicate    = sdk.Between
	_ func(string, ...any) sdk.Predicate      = sdk.In
	_ [2]func(string, string) sdk.Predicate   = [...]func(string, string) sdk.Predicate{sdk.Like, sdk.ILike}
	_ func(string) sdk.Predicate              = sdk.IsNull
	_ [2]func(...sdk.Predicate) sdk.Predicate = [...]func(...sdk.Predicate) sdk.Predicate{sdk.And, sdk.Or}
	_ func(sdk.Predicate) sdk.Predicate       = sdk.Not
	_ func(int) sdk.QueryOption               = sdk.Limit
	_ func(int) sdk.QueryOption               = sdk.PageSize
)

// Executors.
var (
	_ func(ctx, *sdk.Executor, string, any, ...sdk.SubmitOption) (*anyTask, error)                                  = sdk.Submit[int]
	_ func(ctx, *sdk.Executor, any, string, any, ...sdk.SubmitOption) (*anyTask, error)                             = sdk.SubmitToKeyOwner[int]
	_ func(ctx, *sdk.Executor, string, string, any, ...sdk.SubmitOption) (*anyTask, error)                          = sdk.SubmitToMember[int]
	_ func(ctx, *sdk.Executor, sdk.MemberSelector, string, any, ...sdk.SubmitOption) (*sdk.MultiFuture[int], error) = sdk.SubmitToMembers[int]
	_ func(ctx, *sdk.Executor, string, any, ...sdk.SubmitOption) (*sdk.MultiFuture[int], error)                     = sdk.SubmitToAllMembers[int]
	_ func(*sdk.Executor, ctx, string, any) error                                                                   = (*sdk.Executor).ExecuteOnAllMembers
	_ func(*sdk.Executor, ctx, any, string, any) error                                                              = (*sdk.Executor).ExecuteOnKeyOwner
	_ func(*sdk.Executor, ctx) ([]sdk.TaskInfo, error)                                                              = (*sdk.Executor).Tasks
	_ func(*anyTask, ctx) (int, error)                                                                              = (*anyTask).Get
	_ func(*anyTask, ctx) (bool, error)                                                                             = (*anyTask).Cancel
	_ func(*anyTask) string                                                                                         = (*anyTask).ID
	_ func(*anyTask) <-chan struct{}                                                                                = (*anyTask).Done
	_ func(*sdk.MultiFuture[int], ctx) iter.Seq2[sdk.MemberResult[int], error]                                      = (*sdk.MultiFuture[int]).All
	_ func(*sdk.MultiFuture[int], ctx) (map[string]sdk.MemberResult[int], error)                                    = (*sdk.MultiFuture[int]).Wait
	_ func(time.Duration) sdk.SubmitOption                                                                          = sdk.Timeout
)

// Programs name these types, and build their values field by field.
var (
	_ = sdk.Member{ID: "", Name: "", Addr: "", Zone: "", Tags: map[string]string{}, State: sdk.MemberReady, Version: ""}
	_ = sdk.Partition{ID: 0, Owner: "", Replicas: []string{}, Epoch: 0, Index: 0}
	_ = sdk.Entry[string, int]{Key: "", Value: 0}
	_ = sdk.Event[string, int]{Kind: sdk.EventAdded, Key: "", Old: 0, New: 0, Version: 0, Time: time.Time{}, Token: sdk.ResumeToken("")}
	_ = sdk.BulkError{Errs: map[any]error{}}
	_ = sdk.MultiError{Errs: map[string]error{}}
	_ = sdk.MemberResult[int]{Member: "", Value: 0, Err: nil}
	_ = sdk.Result[int]{Value: 0, Err: nil}
	_ = sdk.TaskInfo{Name: "", Members: []string{}}
	_ = sdk.Error{Op: "", Name: "", Partition: 0, Member: "", Code: sdk.CodeTaskFailed, Hint: "", Err: nil}
	_ = sdk.MemberSelector(func(sdk.Member) bool { return true })
	_ = [...]error{sdk.ErrConflict, sdk.ErrClosed, sdk.ErrTimeout, sdk.ErrUnknownOutcome, sdk.ErrUnavailable, sdk.ErrOverloaded, sdk.ErrNotFound,
		sdk.ErrUnauthenticated, sdk.ErrForbidden, sdk.ErrTooLarge, sdk.ErrInvalid, sdk.ErrLockNotHeld, sdk.ErrFenced, sdk.ErrUnknownTask,
		sdk.ErrUnknownProcessor, sdk.ErrRejected, sdk.ErrMemberLeft, sdk.ErrCancelled, sdk.ErrEventsLost}
)
