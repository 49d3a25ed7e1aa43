/** CPU and wall-clock time of this process for some work, in seconds, and the work's result. */
export async function timed(work) {
  const cpu = process.cpuUsage()
  const start = process.hrtime.bigint()
  const result = await work()
  const { user, system } = process.cpuUsage(cpu)
  const wall = Number(process.hrtime.bigint() - start)
  return { cpu: (user + system) / 1e6, wall: wall / 1e9, result }
}
