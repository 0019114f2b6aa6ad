/* global document */
/**
 * Adds the style sheet to the page by hand: loaders would bring more code than this.
 */
import css from './panel.raw.css';

const style = document.createElement('style');
style.textContent = css;
document.head.append(style);
