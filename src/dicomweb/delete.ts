/**
 * DELETE of a study, series or instance, where the site allows it (ALLOW_DELETE); and 410 instead of 404 for what was
 * deleted. Rows, versions and the audit row are the archive's (archive/delete-instances.ts).
 */
import type { Context, Next } from 'koa';
import type { Database } from '../archive/database/database.ts';
import { type DeletionTarget, deleteInstances, wasDeleted } from '../archive/delete-instances.ts';
import { isUid } from '../dicom/uid.ts';
import { Failure } from '../failure.ts';
import { stillOwedTo } from '../routing/still-owed.ts';
import { targetOf } from './answer.ts';
import { answerFailure } from './status.ts';

export interface DeleteParts {
  readonly database: Database;
  readonly allowed: boolean;
  /** Bytes of what was deleted go behind the answer. */
  readonly removeDropped: () => void;
}

type Routed = Context & { params: Record<string, string | undefined> };

/** 204; 403 when it is off, 404, 410, 409 while it is owed or waits for a person, 503 while it is on its way. */
export function deleteStored({ database, allowed, removeDropped }: DeleteParts) {
  return async (ctx: Routed): Promise<void> => {
    const target = targetOf(ctx);
    if (!allowed) throw new Failure('forbidden', 'Deleting is switched off on this server (ALLOW_DELETE)');
    const owed = await stillOwedTo(database, target);
    if (owed.length > 0)
      throw new Failure(
        'conflict',
        `It is still owed to ${owed.join(', ')}: deliver it, or cancel the delivery, first (/api/deliveries)`,
      );
    const actor = ctx.state.actor as { name: string; address: string } | undefined;
    const deleted = await deleteInstances(database, target, {
      actor: actor?.name ?? 'anonymous',
      address: actor?.address ?? ctx.ip,
    });
    if (deleted === 0) throw new Failure('not-found', 'There is no such study, series or instance');
    removeDropped();
    ctx.status = 204;
  };
}

/** Around every route: what is not found was perhaps there once. */
export function tellDeleted(database: Database) {
  return async (ctx: Routed, next: Next): Promise<void> => {
    try {
      await next();
    } catch (thrown) {
      const target =
        thrown instanceof Failure && thrown.kind === 'not-found' ? uidsOf(ctx.params) : undefined;
      if (!target || !(await wasDeleted(database, target))) throw thrown;
      answerFailure(ctx, 410, { kind: 'not-found', message: 'It was here, and was deleted' });
    }
  };
}

function uidsOf(params: Record<string, string | undefined> = {}): DeletionTarget | undefined {
  const { study, series, instance } = params;
  if (study === undefined || ![study, series ?? study, instance ?? study].every(isUid)) return undefined;
  return {
    studyUid: study,
    ...(series !== undefined && { seriesUid: series }),
    ...(instance !== undefined && { sopUid: instance }),
  };
}
