/** What an answer about dependencies says. Pure. */

import type { Link, Links } from './dependencies';

/** The body is Zipkin's and has no place for what is missing, so a header tells it. */
export function linksOf(body: unknown, headers: Headers): Links {
  const links = Array.isArray(body) ? (body as Partial<Link>[]) : [];
  return {
    links: links.map((link) => ({
      parent: link.parent ?? '',
      child: link.child ?? '',
      callCount: link.callCount ?? 0,
      errorCount: link.errorCount ?? 0,
    })),
    warning: headers.get('sigyn-warning') ?? '',
  };
}
