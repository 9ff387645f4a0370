/** Starts the pages. */

import { render } from 'preact';
import { App } from './app';
import { pressKey } from './kit/keys';
import { followLinks } from './kit/url';
import './theme/tokens.css';
import './theme/base.css';
import './shell/shell.css';
import './search/search.css';
import './targets/targets.css';
import './trace/trace.css';

document.addEventListener('click', followLinks);
document.addEventListener('keydown', pressKey);

const root = document.getElementById('app');
if (root) render(<App />, root);
