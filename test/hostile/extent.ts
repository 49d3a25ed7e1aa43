/** How far a table is gone through: a bounded part of it in `npm test`, all of it in `npm run test:hostile`. */
export const isAll = process.env.TEST_HOSTILE === 'all'
