/** The pages that exist, in the order of the bar. */

export const PAGES = [
  { name: 'Search', path: '/zipkin/', key: 's' },
  { name: 'Map', path: '/zipkin/dependency', key: 'm' },
  { name: 'Targets', path: '/targets', key: 't' },
  { name: 'Discovery', path: '/service-discovery', key: 'd' },
  { name: 'Losses', path: '/losses', key: 'l' },
  { name: 'Status', path: '/status', key: 'i' },
] as const;
