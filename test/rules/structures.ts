/** All that is written into buffers, and read from them. */
export * from '../../src/providers/winsock/structures/peer-target-name.js'
export * from '../../src/providers/winsock/structures/query-info.js'
export * from '../../src/providers/winsock/structures/query-template.js'
export * from '../../src/providers/winsock/structures/security-settings.js'
