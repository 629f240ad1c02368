/** The aggregates of PostgreSQL, by what their result depends on. Aggregates of the user's own are refused. */

/** Aggregates whose result does not depend on the order of rows, whatever their type but float. */
export const EXACT_AGGREGATES = new Set([
  ...["count", "sum", "avg", "bool_and", "bool_or", "every", "bit_and", "bit_or", "bit_xor"],
  ...["variance", "var_pop", "var_samp", "stddev", "stddev_pop", "stddev_samp", "regr_count"],
]);
export const FLOAT_AGGREGATES = new Set([
  ...["sum", "avg", "variance", "var_pop", "var_samp", "stddev", "stddev_pop", "stddev_samp"],
  ...["corr", "covar_pop", "covar_samp", "regr_avgx", "regr_avgy", "regr_intercept", "regr_r2", "regr_slope"],
  ...["regr_sxx", "regr_sxy", "regr_syy"],
]);
/** Their result shows the order of rows: they are judged by their ORDER BY. */
export const ORDERED_AGGREGATES = new Set([
  ...["array_agg", "string_agg", "xmlagg", "json_agg", "json_agg_strict", "jsonb_agg", "jsonb_agg_strict"],
  ...["json_object_agg", "json_object_agg_strict", "json_object_agg_unique", "json_object_agg_unique_strict"],
  ...["jsonb_object_agg", "jsonb_object_agg_strict", "jsonb_object_agg_unique"],
  "jsonb_object_agg_unique_strict",
]);

/** Names of all of them. */
export const AGGREGATES = new Set([
  ...[...EXACT_AGGREGATES, ...FLOAT_AGGREGATES, ...ORDERED_AGGREGATES],
  ...["min", "max", "any_value", "range_agg", "range_intersect_agg"],
]);
