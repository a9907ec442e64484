// The name of a model in texts.

import type { ModelIdentity } from '@reembed/protocol'

/** 'model@revision' */
export const modelText = ({ model }: { readonly model: Pick<ModelIdentity, 'id' | 'revision'> }): string =>
  `${model.id}@${model.revision ?? 'unstated'}`
