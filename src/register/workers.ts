/** The threads that a program starts are secured as its first one is, whatever environment and options they get. */
import workerThreads, { SHARE_ENV, type Worker, type WorkerOptions } from 'node:worker_threads'
import { inheritedEnvironment, registeredOptions } from './environment.js'

/** @param inherited did Node load us for an option that threads inherit? */
export function secureWorkers(inherited: boolean): void {
  const original = workerThreads.Worker
  const replacement: typeof Worker = new Proxy(original, {
    construct(target, args: unknown[], newTarget): Worker {
      const [file, options, ...rest] = args as [never, WorkerOptions, ...never[]]
      const own = newTarget === replacement ? target : newTarget
      return Reflect.construct(
        target,
        [file, registered(options, inherited), ...rest],
        own,
      ) as Worker
    },
  })
  Reflect.set(workerThreads, 'Worker', replacement)
}

/**
 * A thread that gets options or an environment of its own takes nothing from its parent: Node reads
 * NODE_OPTIONS in that environment.
 */
function registered(
  options: WorkerOptions | undefined,
  inherited: boolean,
): WorkerOptions | undefined {
  const { env, eval: isCode, execArgv } = Object(options) as WorkerOptions
  // Node runs the code of such a thread without waiting for what `--import` names; `--require` it minds.
  const inherits = inherited && !isCode
  const ownEnvironment = typeof env === 'object' && env !== null
  if (inherits && !ownEnvironment && !Array.isArray(execArgv)) return options
  if (env === SHARE_ENV) {
    // That of this thread is theirs.
    process.env.NODE_OPTIONS = registeredOptions(process.env.NODE_OPTIONS)
    return inherits ? options : { ...options, execArgv: execArgv ?? [] }
  }
  return { ...options, env: inheritedEnvironment((ownEnvironment ? env : process.env) as never) }
}
