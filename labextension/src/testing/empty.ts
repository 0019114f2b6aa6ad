/** Replaces style sheets and icons, which have no meaning in a test. */
export default '<svg xmlns="http://www.w3.org/2000/svg"></svg>';
