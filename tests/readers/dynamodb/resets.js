// Loaded into dynalite before it starts: dynalite throws what befalls a request, so that a client that
// is killed in the middle of one takes the server of all other tests with it.
process.on('uncaughtException', (error) => {
  if (error.code === 'ECONNRESET') return
  console.error(error)
  process.exit(1)
})
