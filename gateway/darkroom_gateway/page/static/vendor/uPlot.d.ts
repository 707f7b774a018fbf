/** For `make check` alone: the types are those of the package, in build/page. */
import uPlot from "uplot";
export default uPlot;
