// Package exec lets members run the functions of a program. A program registers its functions by name in a [Registry], with
// [RegisterTask], and gives the Registry to the members that it starts. Clients submit the tasks by name through
// [github.com/gridiron-io/gridiron/sdk.Executor].
//
//	reg := exec.NewRegistry()
//	exec.RegisterTask(reg, "word-count", func(ctx context.Context, tc exec.TaskContext, in Input) (Output, error) { … })
//	m, err := grid.Start(ctx, grid.Config{Registry: reg})
//
// A function gets a [TaskContext], which tells where it runs. [Local] gives it the entries that its member owns.
//
// A plain task runs at most once per submission. When its member dies, the task is never run again silently. A function that
// panics, never returns, or returns very much cannot harm its member: [PoolConfig] bounds how many tasks run and wait, and
// members bound the bytes of arguments and results.
package exec
