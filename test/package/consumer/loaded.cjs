// Prints the native libraries of this process after it has loaded the module that it is given.
require(process.argv[2])

process.report.excludeNetwork = true
const libraries = process.report
  .getReport()
  .sharedObjects.filter(path => /\.node$|koffi/.test(path))
const modules = Object.keys(require.cache).filter(path => /\.node$|koffi/.test(path))
console.log([...libraries, ...modules].sort().join('\n'))
