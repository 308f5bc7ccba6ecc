"""What becomes of the metrics of a validation: the log, the tables, the best network."""

from pathlib import Path
from typing import Any

from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import get_dist_info

from wxr_plugin.errors import OptionError
from wxr_plugin.metrics.set_share import SetShare
from wxr_plugin.models.val_input import INPUT
from wxr_plugin.models.val_table import Row, by_group, group_column, group_table, is_of, means, write_rows
from wxr_plugin.report import is_worse
from wxr_plugin.utils.safe_paths import safe_join


class Keeping:
    """The part of WxrModel that keeps a validation's metrics. Every rank calls it, with the rows of all."""

    def _keep_metrics(self, name: str, rows: list[Row], metrics: dict, label: int | str, tb_logger: Any) -> None:
        self.metric_results = means(rows, list(metrics)) | by_group(rows, list(metrics))
        if self.is_train:
            self._update_best(name, metrics, label)
        if get_dist_info()[0] == 0:
            self._write_tables(name, rows, list(metrics))
            self._log_metrics(name, metrics, label, tb_logger)

    def _log_metrics(self, name: str, metrics: dict, label: int | str, tb_logger: Any) -> None:
        """Log each metric with the input's and the best one, as the host does; write them to TensorBoard."""
        before = self.inputs.results.get(name, {})
        lines = [f"Validation {name}"]
        for metric, value in self.metric_results.items():
            line = f"\t # {metric}: {value:.4f}"
            if metric in before:
                worse = is_worse(value, before[metric], _better(metric, metrics), 4)
                line += f"\tInput: {before[metric]:.4f}" + " (better than the network)" * worse
            if best := getattr(self, "best_metric_results", {}).get(name, {}).get(metric):
                line += f"\tBest: {best['val']:.4f} @ {best['iter']} iter"
            lines.append(line)
        get_root_logger().info("\n".join(lines) + "\n")
        for suffix, values in (("", self.metric_results), (f"_{INPUT}", before)) if tb_logger else ():
            for metric, value in values.items():
                tb_logger.add_scalar(f"metrics/{name}/{metric}{suffix}", value, label)

    def _write_tables(self, name: str, rows: list[Row], metrics: list[str]) -> None:
        """A row an image; and a row a group where there are degradations or metrics that only a whole set has."""
        of_sets = [metric for metric in metrics if isinstance(rows[0][metric], SetShare)]
        group = group_column(rows)
        columns = ["iter", "image", *([group] if group else []), *(m for m in metrics if m not in of_sets)]
        folder = Path(self.opt["path"].get("experiments_root") or self.opt["path"]["results_root"]) / "validation"
        shown = [{column: row[column] for column in columns} for row in rows]
        rows_with_input = [row | self.inputs.columns(name, row["image"]) for row in shown]
        write_rows(safe_join(folder, f"{name}.csv"), rows_with_input)
        if of_sets or group == "degradation":
            write_rows(safe_join(folder, f"{name}_groups.csv"), group_table(rows, metrics))

    def _update_best(self, name: str, metrics: dict, label: int) -> None:
        best = self.best_metric_results.setdefault(name, {})
        for metric in self.metric_results:
            better = _better(metric, metrics)
            worst = float("-inf") if better == "higher" else float("inf")
            best.setdefault(metric, {"better": better, "val": worst, "iter": -1})
            self._update_best_metric_result(name, metric, self.metric_results[metric], label)
        choice = self.options.save_best
        if choice and choice.dataset == name and choice.metric not in best:
            raise OptionError(f"train.save_best: {name} has no metric {choice.metric!r}, but {', '.join(best)}")
        if choice and choice.dataset == name and best.get(choice.metric, {}).get("iter") == label:
            self.save_networks("best")


def _better(metric: str, metrics: dict) -> str:
    """Return which end of a metric, or of its value for a weather or degradation, is the good one."""
    return next(options.get("better", "higher") for key, options in metrics.items() if is_of(metric, key))
