/** A one-line editor: a real input, its text painted by the layer beneath it, and an ARIA combobox. */

import { useRef, useState } from 'preact/hooks';
import { type Problem, parseQuery, type Token } from './query';
import { type Suggestion, type Suggestions, suggestAt } from './suggest';

interface QueryBarProps {
  value: string;
  change: (text: string) => void;
  run: () => void;
}

const NONE: Suggestions = { from: 0, list: [] };

export function QueryBar({ value, change, run }: QueryBarProps) {
  const input = useRef<HTMLInputElement>(null);
  const paint = useRef<HTMLDivElement>(null);
  const asked = useRef(0);
  const [suggestions, setSuggestions] = useState(NONE);
  const [chosen, setChosen] = useState(-1);
  const [typing, setTyping] = useState(false);
  const { tokens, problems } = parseQuery(value);
  // While one types, the end of the text is unfinished, not wrong.
  const told = problems.filter((problem) => !typing || problem.to < value.trimEnd().length);
  const open = suggestions.list.length > 0;

  const follow = () => {
    if (paint.current && input.current) paint.current.scrollLeft = input.current.scrollLeft;
  };
  const suggest = async () => {
    const element = input.current;
    if (!element) return;
    const question = ++asked.current;
    const found = await suggestAt(element.value, element.selectionStart ?? 0);
    // A slow answer to an earlier question is of no use.
    if (question !== asked.current || document.activeElement !== element) return;
    setSuggestions(found);
    setChosen(-1);
  };
  const close = () => {
    asked.current++;
    setSuggestions(NONE);
    setChosen(-1);
  };
  const take = (suggestion: Suggestion) => {
    const element = input.current;
    if (!element) return;
    element.setRangeText(suggestion.insert, suggestions.from, element.selectionStart ?? 0, 'end');
    change(element.value);
    requestAnimationFrame(follow);
    void suggest();
  };
  const press = (event: KeyboardEvent) => {
    const count = suggestions.list.length;
    const suggestion = suggestions.list[Math.max(0, chosen)];
    if (event.key === 'ArrowDown' && open) setChosen((chosen + 1) % count);
    else if (event.key === 'ArrowUp' && open) setChosen((chosen + count - 1) % count);
    else if (event.key === 'Tab' && !event.shiftKey && open && suggestion) take(suggestion);
    else if (event.key === 'Enter' && open && chosen >= 0 && suggestion) take(suggestion);
    else if (event.key === 'Enter') {
      close();
      setTyping(false);
      run();
    } else if (event.key === 'Escape' && open) close();
    else return;
    event.preventDefault();
  };
  return (
    <div class="query">
      <div class="query-bar">
        <div class="query-paint" ref={paint} aria-hidden="true">
          <Painted text={value} tokens={tokens} problems={told} />
        </div>
        <input
          ref={input}
          data-filter
          role="combobox"
          aria-label="Query"
          aria-autocomplete="list"
          aria-expanded={open}
          aria-controls="query-suggestions"
          aria-activedescendant={chosen >= 0 ? `query-${chosen}` : undefined}
          aria-invalid={told.length > 0}
          aria-describedby="query-problem"
          autocomplete="off"
          spellcheck={false}
          placeholder="Every trace. Narrow it: service=checkout error duration>100ms"
          value={value}
          onInput={(event) => {
            setTyping(true);
            change(event.currentTarget.value);
            follow();
            void suggest();
          }}
          onClick={() => void suggest()}
          onScroll={follow}
          onBlur={() => {
            setTyping(false);
            close();
          }}
          onKeyDown={press}
        />
        {open && (
          <ul id="query-suggestions" role="listbox" aria-label="Suggestions">
            {suggestions.list.map((suggestion, index) => (
              <li
                key={suggestion.text}
                id={`query-${index}`}
                role="option"
                aria-selected={index === chosen}
                onMouseDown={(event) => {
                  event.preventDefault();
                  take(suggestion);
                }}
              >
                <span class="mono">{suggestion.text}</span>
                {suggestion.note && <span class="faint">{suggestion.note}</span>}
              </li>
            ))}
          </ul>
        )}
      </div>
      <p id="query-problem" class="query-problem" aria-live="polite">
        {told[0]?.message}
      </p>
    </div>
  );
}

/** The text again, in colours, with a wavy line where it is not understood. */
function Painted({
  text,
  tokens,
  problems,
}: {
  text: string;
  tokens: readonly Token[];
  problems: readonly Problem[];
}) {
  const isWrong = (token: Token) =>
    problems.some(({ from, to }) => token.at < to && token.at + token.text.length > from);
  const missing = problems.some(({ from }) => from >= text.length);
  return (
    <>
      {tokens.map((token) => (
        <span key={token.at} class={`token-${token.role}${isWrong(token) ? ' wrong' : ''}`}>
          {token.text}
        </span>
      ))}
      {missing && <span class="wrong">{'\u00a0\u00a0'}</span>}
    </>
  );
}
