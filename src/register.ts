/**
 * `secure-socket/register`: secures a program that knows nothing of this library.
 *
 *     node --import secure-socket/register app.js
 *     node --require secure-socket/register app.js
 */
import { install } from './register/install.js'

install()
