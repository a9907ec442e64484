import { expect, it } from 'vitest'

it('importing the package loads no native library', async () => {
  await import('@reembed/local')
  const { sharedObjects } = process.report.getReport() as { sharedObjects: string[] }
  expect(sharedObjects.length).toBeGreaterThan(0)
  expect(sharedObjects.filter(path => path.includes('onnxruntime'))).toEqual([])
})
