/** Does something with each, so many at the same time; fails with the first that fails. */
export async function allOf<T>(
  atOnce: number,
  each: readonly T[],
  does: (one: T) => Promise<void>,
): Promise<void> {
  let next = 0
  const turn = async () => {
    while (next < each.length) await does(each[next++] as T)
  }
  await Promise.all(Array.from({ length: atOnce }, turn))
}
