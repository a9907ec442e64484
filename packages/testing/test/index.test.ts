import { expect, it } from 'vitest'

it('loads no native library before a model is asked for', async () => {
  await import('@reembed/local')
  const { sharedObjects } = process.report.getReport() as { sharedObjects: string[] }
  expect(sharedObjects.length).toBeGreaterThan(0)
  expect(sharedObjects.filter(path => path.includes('onnxruntime'))).toEqual([])
})
